"""Configurations of stacks that tests deploy, including the shipped ones."""

from __future__ import annotations

from typing import Any

import yaml

from mesh.paths import PROJECT_ROOT


def shipped_config(name: str, **additions: Any) -> dict[str, Any]:
    """Return the configuration in `Pulumi.<name>.yaml`, with additional keys."""
    content = yaml.safe_load((PROJECT_ROOT / f"Pulumi.{name}.yaml").read_text())
    return {key.partition(":")[2]: value for key, value in content["config"].items()} | additions


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
