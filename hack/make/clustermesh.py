"""Is the ClusterMesh up? Cilium on every cluster, and what each has been told of each other one."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from typing import Any

from hack.make.check_result import CheckResult

NAMESPACE = "kube-system"
# What makes a cluster a member, by its kind.
WORKLOADS = (("daemonset", "cilium"), ("deployment", "cilium-operator"), ("deployment", "clustermesh-apiserver"))

# One object by cluster, kind, name and namespace; an empty one where there is none.
Look = Callable[[str, str, str, str], Mapping[str, Any]]


def rows(clusters: list[str], look: Look) -> Iterator[CheckResult]:
    """The rows of a ClusterMesh: one for each cluster, and one for each direction between two.

    Args:
        clusters: their names.
        look: reads an object.
    """
    authorities = {
        name: look(name, "secret", "cilium-ca", NAMESPACE).get("data", {}).get("ca.crt") for name in clusters
    }
    for name in clusters:
        unready = [
            f"{kind} {called}" for kind, called in WORKLOADS if not _is_ready(look(name, kind, called, NAMESPACE))
        ]
        version = _image(look(name, "daemonset", "cilium", NAMESPACE))
        detail = f"not ready: {', '.join(unready)}" if unready else f"{version}, with its ClusterMesh API server"
        yield CheckResult(subject=name, check="cilium", passed=not unready, detail=detail)
    for source, target in permutations(clusters, 2):
        told, addresses = _told(source, target, look)
        same = authorities[source] is not None and authorities[source] == authorities[target]
        detail = f"{told} ({', '.join(addresses)})" if addresses else told
        yield CheckResult(
            subject=f"{source} → {target}",
            check="clustermesh",
            passed=bool(told) and same,
            detail=(detail if same else f"{detail}; another authority") if told else "not told of it",
        )


def _is_ready(workload: Mapping[str, Any]) -> bool:
    status = workload.get("status", {})
    if "desiredNumberScheduled" in status:
        return bool(status.get("numberReady") == status["desiredNumberScheduled"] > 0)
    return any(each["type"] == "Available" and each["status"] == "True" for each in status.get("conditions", []))


def _image(workload: Mapping[str, Any]) -> str:
    containers = workload.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or [{"image": "?"}]
    return str(containers[0]["image"]).partition("@")[0].rpartition("/")[2]


def _told(source: str, target: str, look: Look) -> tuple[str, list[str]]:
    """The endpoint of a peer, and the addresses that its name stands for."""
    # Where a copy is kept in the cluster itself, the agents are told of the copy.
    for secret in ("cilium-kvstoremesh", "cilium-clustermesh"):
        encoded = look(source, "secret", secret, NAMESPACE).get("data", {}).get(target)
        if encoded:
            break
    else:
        return "", []
    found = re.search(r"https://\S+", base64.b64decode(encoded).decode())
    aliases: list[Mapping[str, Any]] = []
    for kind, called in (("daemonset", "cilium"), ("deployment", "clustermesh-apiserver")):
        pod = look(source, kind, called, NAMESPACE).get("spec", {}).get("template", {}).get("spec", {})
        # The agents know the name, or, with a copy, only who keeps that.
        aliases = aliases or pod.get("hostAliases") or []
    named = [alias["ip"] for alias in aliases if f"{target}.mesh.cilium.io" in alias["hostnames"]]
    return found[0] if found else "", named
