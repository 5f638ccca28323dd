"""Federated services: the members that Linkerd's controllers write into them, and how one leaves.

A federated service `<name>-federated` is a union of services of that name. Each cluster's controllers write their
members into two of its annotations, and delete it with the last one. What leaves while no controller is at work,
leaves by this.
Follows https://linkerd.io/2/tasks/federated-services/ and https://linkerd.io/2/reference/multicluster/#federated-services.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.kube.client import KubeClient
from mesh.kube.constants import CLUSTER_NAME_LABEL, MIRRORED_SERVICE_LABEL

MIRRORED_SELECTOR = f"{MIRRORED_SERVICE_LABEL}=true"
CLUSTER_NAME_LABEL = "mirror.linkerd.io/cluster-name"
_REMOTE_DISCOVERY_ANNOTATION = "multicluster.linkerd.io/remote-discovery"
_LOCAL_DISCOVERY_ANNOTATION = "multicluster.linkerd.io/local-discovery"


def federated_service_name(service: str) -> str:
    """What the federated service of a service is called."""
    return f"{service}-federated"


def cluster_selector(target: str) -> str:
    """The selector of what controllers have made for a target."""
    return f"{CLUSTER_NAME_LABEL}={target}"


def parse_members(annotations: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """The members of a federated service: each service's name, with its cluster's; the cluster itself has none."""
    found = annotations or {}
    remote = [
        member.rpartition("@") for member in (found.get(_REMOTE_DISCOVERY_ANNOTATION) or "").split(",") if "@" in member
    ]
    local = [(found[_LOCAL_DISCOVERY_ANNOTATION], "")] if found.get(_LOCAL_DISCOVERY_ANNOTATION) else []
    return [*((service, cluster) for service, _, cluster in remote), *local]


def remove_member(client: KubeClient, service: Mapping[str, Any], target: str) -> None:
    """Take a cluster's service out of a federated service; with its last member, the federated service goes.

    Args:
        client: a client of the cluster that has it.
        service: the federated service.
        target: the member's cluster; empty for the cluster itself.
    """
    metadata = service["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}"
    left = [member for member in parse_members(metadata.get("annotations")) if member[1] != target]
    if not left:
        client.request("DELETE", path)
        return
    remote = ",".join(f"{name}@{cluster}" for name, cluster in left if cluster)
    local = next((name for name, cluster in left if not cluster), None)
    client.request(
        "PATCH",
        path,
        body={
            "metadata": {
                "annotations": {_REMOTE_DISCOVERY_ANNOTATION: remote or None, _LOCAL_DISCOVERY_ANNOTATION: local}
            }
        },
    )


def remove_cluster(client: KubeClient, target: str) -> None:
    """Take all services of a cluster out of the federated services that they are members of.

    Args:
        client: a client of the cluster that has the federated services.
        target: the members' cluster; empty for the cluster itself.
    """
    for service in client.list_objects("/api/v1/services", f"{MIRRORED_SELECTOR},!{CLUSTER_NAME_LABEL}"):
        if any(cluster == target for _, cluster in parse_members(service["metadata"].get("annotations"))):
            remove_member(client, service, target)
