"""The stacks that the tests bring up, among them those that the project ships."""

from __future__ import annotations

from typing import Any

import yaml

from mesh.paths import PROJECT_ROOT


def shipped_config(name: str, **more: Any) -> dict[str, Any]:
    """The configuration of a `Pulumi.<name>.yaml`, with something added."""
    content = yaml.safe_load((PROJECT_ROOT / f"Pulumi.{name}.yaml").read_text())
    return {key.partition(":")[2]: value for key, value in content["config"].items()} | more


TWO_WAY = shipped_config("dev")

# The set-ups that the project ships, as they are.
SHIPPED_SETUPS = ("openstack-nks", "kpaas", "east-west", "emojivoto")
# Two clusters, one of which is the hub of the other.
PAIR: dict[str, Any] = {
    "clusters": {"east": {}, "north": {}},
    "topology": {"hub": "north"},
    "workloads": [{"podinfo": {"exported": ["east", "north"]}}],
}


def full_mesh_config(*names: str, **clusters: dict[str, Any]) -> dict[str, Any]:
    """Every cluster sees every other, and the podinfo that each exports."""
    found = {**{name: {} for name in names}, **clusters}
    return {"clusters": found, "topology": "full-mesh", "workloads": [{"podinfo": {"exported": list(found)}}]}
