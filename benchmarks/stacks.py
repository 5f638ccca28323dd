"""Stacks for the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import yaml

from benchmarks.environment import Environment
from benchmarks.readiness import ExpectedMesh
from hack.lab.programs import LAB_LINKERD_VERSION
from hack.make import stack
from hack.make.stack import LabStack
from mesh.config import PROJECT
from mesh.paths import PROJECT_ROOT

# The namespace of the exported podinfo.
NAMESPACE = "test"


def cluster_names(number: int) -> list[str]:
    """Return cluster names of equal length, so that no size depends on the digits of a number."""
    return [f"c{index:03}" for index in range(1, number + 1)]


def dev_config() -> dict[str, Any]:
    """Return the settings of Pulumi.dev.yaml: west and east, linked in both directions, both with podinfo exported."""
    content = yaml.safe_load((PROJECT_ROOT / "Pulumi.dev.yaml").read_text())["config"]
    return {key.partition(":")[2]: value for key, value in content.items()}


def mesh_config(clusters: Sequence[str], shape: str, *, has_api_servers: bool = False) -> dict[str, Any]:
    """Return the settings of a mesh in which each cluster exports podinfo.

    Args:
        clusters: the names of the clusters.
        shape: full-mesh, hub, or ring, where each cluster is the source of the next one.
        has_api_servers: whether to set `apiServer` of each cluster, which fake API servers need.
    """
    gateway = {"loadBalancer": {"sourceRanges": ["127.0.0.0/8"]}}
    settings: dict[str, Any] = {
        "clusters": {
            name: {"gateway": gateway, **({"apiServer": f"https://{name}.example.com"} if has_api_servers else {})}
            for name in clusters
        },
        "linkerd": {"version": LAB_LINKERD_VERSION},
        "workloads": [{"podinfo": {"namespace": NAMESPACE, "exported": list(clusters)}}],
    }
    if shape == "full-mesh":
        return {**settings, "topology": "full-mesh"}
    if shape == "hub":
        return {**settings, "topology": {"hub": clusters[0]}}
    pairs = pairwise([*clusters, clusters[0]])
    return {**settings, "links": [{"source": source, "target": target} for source, target in pairs]}


def drop_keys(config: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return the settings without some of the keys."""
    return {key: value for key, value in config.items() if key not in keys}


def read_stack(lab: Environment, name: str, config: Mapping[str, Any], *, file: str | None = None) -> LabStack:
    """Write a stack file, and read it as a stack of the lab; `file` is its name if the stack has several files."""
    path = lab.work / f"{file or name}.yaml"
    path.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}))
    return stack.read_stack(name, path)


def expected_mesh(lab_stack: LabStack) -> ExpectedMesh:
    """Return the expected mesh of a stack in which every cluster exports podinfo."""
    return ExpectedMesh(
        targets={
            c.name: [link.target for link in lab_stack.links if link.source == c.name] for c in lab_stack.clusters
        },
        namespace=NAMESPACE,
    )
