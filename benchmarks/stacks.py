"""The stacks that figures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import yaml

from benchmarks.environment import Environment
from benchmarks.readiness import ExpectedMesh
from hack.make import stack
from hack.make.stack import PROJECT, LabStack
from mesh.paths import PROJECT_ROOT

# Of the exported podinfo.
NAMESPACE = "test"


def names(number: int) -> list[str]:
    """The names of so many clusters: of one length, so that nothing grows with a number's digits."""
    return [f"c{index:03}" for index in range(1, number + 1)]


def two_way() -> dict[str, Any]:
    """What Pulumi.dev.yaml says: west and east, each the source and the target of the other, both exporting podinfo."""
    content = yaml.safe_load((PROJECT_ROOT / "Pulumi.dev.yaml").read_text())["config"]
    return {key.partition(":")[2]: value for key, value in content.items()}


def mesh(clusters: Sequence[str], shape: str, *, named: bool = False) -> dict[str, Any]:
    """So many clusters in a shape, each of which exports podinfo.

    Args:
        clusters: their names.
        shape: full-mesh, hub, or ring: each cluster is the source of the next one.
        named: whether each is given an address for its peers, which a kubeconfig of fake API servers hasn't.
    """
    gateway = {"loadBalancer": {"sourceRanges": ["127.0.0.0/8"]}}
    found: dict[str, Any] = {
        "clusters": {
            name: {"gateway": gateway, **({"apiServer": f"https://{name}.example.com"} if named else {})}
            for name in clusters
        },
        "workloads": [{"podinfo": {"namespace": NAMESPACE, "exported": list(clusters)}}],
    }
    if shape == "full-mesh":
        return {**found, "topology": "full-mesh"}
    if shape == "hub":
        return {**found, "topology": {"hub": clusters[0]}}
    pairs = pairwise([*clusters, clusters[0]])
    return {**found, "links": [{"source": source, "target": target} for source, target in pairs]}


def without(config: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A configuration less some of its keys."""
    return {key: value for key, value in config.items() if key not in keys}


def read(ground: Environment, name: str, config: Mapping[str, Any], *, file: str | None = None) -> LabStack:
    """A stack of the lab; another file's name, where the same stack has several."""
    path = ground.work / f"{file or name}.yaml"
    path.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in config.items()}}))
    return stack.read(name, path)


def wanted(chosen: LabStack) -> ExpectedMesh:
    """What its mesh is to have, where every cluster exports podinfo."""
    return ExpectedMesh(
        targets={c.name: [link.target for link in chosen.links if link.source == c.name] for c in chosen.clusters},
        namespace=NAMESPACE,
    )
