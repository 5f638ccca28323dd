"""Checks of a ClusterMesh: Cilium on every cluster, and the connection of each cluster to every other one."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from typing import Any

from hack.make.check_result import CheckResult

NAMESPACE = "kube-system"
# The workloads of a member, by kind and name.
MEMBER_WORKLOADS = (
    ("daemonset", "cilium"),
    ("deployment", "cilium-operator"),
    ("deployment", "clustermesh-apiserver"),
)

# Read one object by cluster, kind, name and namespace; an empty mapping if there is none.
ReadObject = Callable[[str, str, str, str], Mapping[str, Any]]


def check_clustermesh(clusters: list[str], read_object: ReadObject) -> Iterator[CheckResult]:
    """Yield a row for each cluster, then a row for each ordered pair of clusters.

    Args:
        clusters: the names of all members.
        read_object: reads an object of a cluster.
    """
    authorities = {
        name: read_object(name, "secret", "cilium-ca", NAMESPACE).get("data", {}).get("ca.crt") for name in clusters
    }
    for name in clusters:
        unready = [
            f"{kind} {workload}"
            for kind, workload in MEMBER_WORKLOADS
            if not _is_ready(read_object(name, kind, workload, NAMESPACE))
        ]
        version = _image_name(read_object(name, "daemonset", "cilium", NAMESPACE))
        detail = f"not ready: {', '.join(unready)}" if unready else f"{version}, with its ClusterMesh API server"
        yield CheckResult(subject=name, check="cilium", passed=not unready, detail=detail)
    for source, target in permutations(clusters, 2):
        endpoint, addresses = _read_peer(source, target, read_object)
        has_same_ca = authorities[source] is not None and authorities[source] == authorities[target]
        if not endpoint:
            detail = f"{target} is not in the ClusterMesh configuration of {source}"
        else:
            detail = f"{endpoint} ({', '.join(addresses)})" if addresses else endpoint
            detail += "" if has_same_ca else "; the clusters have different CAs"
        yield CheckResult(
            subject=f"{source} → {target}", check="clustermesh", passed=bool(endpoint) and has_same_ca, detail=detail
        )


def _is_ready(workload: Mapping[str, Any]) -> bool:
    status = workload.get("status", {})
    if "desiredNumberScheduled" in status:
        return bool(status.get("numberReady") == status["desiredNumberScheduled"] > 0)
    return any(each["type"] == "Available" and each["status"] == "True" for each in status.get("conditions", []))


def _image_name(workload: Mapping[str, Any]) -> str:
    containers = workload.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or [{"image": "?"}]
    return str(containers[0]["image"]).partition("@")[0].rpartition("/")[2]


def _read_peer(source: str, target: str, read_object: ReadObject) -> tuple[str, list[str]]:
    """Return the endpoint of a peer, and the addresses of the endpoint's host name."""
    # With KVStoreMesh the agents connect to a copy in their own cluster, and only KVStoreMesh to the peer.
    for secret in ("cilium-kvstoremesh", "cilium-clustermesh"):
        encoded = read_object(source, "secret", secret, NAMESPACE).get("data", {}).get(target)
        if encoded:
            break
    else:
        return "", []
    endpoint = re.search(r"https://\S+", base64.b64decode(encoded).decode())
    aliases: list[Mapping[str, Any]] = []
    for kind, workload in (("daemonset", "cilium"), ("deployment", "clustermesh-apiserver")):
        pod = read_object(source, kind, workload, NAMESPACE).get("spec", {}).get("template", {}).get("spec", {})
        # The agents have the host alias; with KVStoreMesh only its Deployment has it.
        aliases = aliases or pod.get("hostAliases") or []
    addresses = [alias["ip"] for alias in aliases if f"{target}.mesh.cilium.io" in alias["hostnames"]]
    return endpoint[0] if endpoint else "", addresses
