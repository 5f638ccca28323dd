"""Configurations of stacks that tests deploy, including the shipped ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from hack.lab.programs import LAB_LINKERD_VERSION
from mesh.config.validation.cilium import has_linkerd
from mesh.paths import PROJECT_ROOT


def shipped_config(name: str, **additions: Any) -> dict[str, Any]:
    """Return the configuration in `Pulumi.<name>.yaml`, with additional keys."""
    content = yaml.safe_load((PROJECT_ROOT / f"Pulumi.{name}.yaml").read_text())
    return {key.partition(":")[2]: value for key, value in content["config"].items()} | additions


def with_lab_release(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration that names the lab's Linkerd release, unless it names a release or has no Linkerd.

    The lab does not have the charts of the default release.
    """
    linkerd = config.get("linkerd") or {}
    if not has_linkerd(config) or "version" in linkerd:
        return dict(config)
    return {**config, "linkerd": {"version": LAB_LINKERD_VERSION, **linkerd}}


TWO_WAY = shipped_config("dev")

SHIPPED_SETUPS = ("openstack-nks", "kpaas", "east-west", "emojivoto")
# Two clusters; one is the hub.
PAIR: dict[str, Any] = {
    "clusters": {"east": {}, "north": {}},
    "topology": {"hub": "north"},
    "workloads": [{"podinfo": {"exported": ["east", "north"]}}],
}


def full_mesh_config(*names: str, **clusters: dict[str, Any]) -> dict[str, Any]:
    """Return a full mesh whose clusters all export podinfo."""
    all_clusters = {**{name: {} for name in names}, **clusters}
    return {
        "clusters": all_clusters,
        "topology": "full-mesh",
        "workloads": [{"podinfo": {"exported": list(all_clusters)}}],
    }
