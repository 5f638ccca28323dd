"""Federated services: the members that Linkerd's controllers write into them, and how one leaves.

A federated service `<name>-federated` is a union of services of that name. Each cluster's controllers write their
members into two of its annotations, and delete it with the last one. What leaves while no controller is at work,
leaves by this.
Follows https://linkerd.io/2/tasks/federated-services/ and https://linkerd.io/2/reference/multicluster/#federated-services.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mesh.kube import client as kube_client

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

FEDERATED_LABEL = "mirror.linkerd.io/federated"
MIRRORED_SELECTOR = "mirror.linkerd.io/mirrored-service=true"
_CLUSTER_NAME_LABEL = "mirror.linkerd.io/cluster-name"
_REMOTE_DISCOVERY_ANNOTATION = "multicluster.linkerd.io/remote-discovery"
_LOCAL_DISCOVERY_ANNOTATION = "multicluster.linkerd.io/local-discovery"


def federated_name(service: str) -> str:
    """What the federated service of a service is called."""
    return f"{service}-federated"


def cluster_selector(target: str) -> str:
    """The selector of what controllers have made for a target."""
    return f"{_CLUSTER_NAME_LABEL}={target}"


def parse_members(annotations: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """The members of a federated service: each service's name, with its cluster's; the cluster itself has none."""
    found = annotations or {}
    remote = [
        member.rpartition("@") for member in (found.get(_REMOTE_DISCOVERY_ANNOTATION) or "").split(",") if "@" in member
    ]
    local = [(found[_LOCAL_DISCOVERY_ANNOTATION], "")] if found.get(_LOCAL_DISCOVERY_ANNOTATION) else []
    return [*((service, cluster) for service, _, cluster in remote), *local]


def remove_member(api: ApiClient, service: Mapping[str, Any], target: str) -> None:
    """Take a cluster's service out of a federated service; with its last member, the federated service goes.

    Args:
        api: a client of the cluster that has it.
        service: the federated service.
        target: the member's cluster; empty for the cluster itself.
    """
    metadata = service["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}"
    left = [member for member in parse_members(metadata.get("annotations")) if member[1] != target]
    if not left:
        kube_client.request(api, "DELETE", path)
        return
    remote = ",".join(f"{name}@{cluster}" for name, cluster in left if cluster)
    local = next((name for name, cluster in left if not cluster), None)
    kube_client.request(
        api,
        "PATCH",
        path,
        body={
            "metadata": {
                "annotations": {_REMOTE_DISCOVERY_ANNOTATION: remote or None, _LOCAL_DISCOVERY_ANNOTATION: local}
            }
        },
    )


def remove_cluster(api: ApiClient, target: str) -> None:
    """Take all services of a cluster out of the federated services that they are members of.

    Args:
        api: a client of the cluster that has the federated services.
        target: the members' cluster; empty for the cluster itself.
    """
    for service in kube_client.list_objects(api, "/api/v1/services", f"{MIRRORED_SELECTOR},!{_CLUSTER_NAME_LABEL}"):
        if any(cluster == target for _, cluster in parse_members(service["metadata"].get("annotations"))):
            remove_member(api, service, target)
