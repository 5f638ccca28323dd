"""Members of federated services, and their removal.

A federated service `<name>-federated` is a union of services of that name. Each cluster's controllers write their
members into two of its annotations, and delete it with the last member. This module does the same for a member that
leaves while no controller is running.

Follows https://linkerd.io/2/tasks/federated-services/ and https://linkerd.io/2/reference/multicluster/#federated-services.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.kube.client import KubeClient
from mesh.kube.constants import CLUSTER_NAME_LABEL, LOCAL_DISCOVERY, MIRRORED_SERVICE_LABEL, REMOTE_DISCOVERY

MIRRORED_SELECTOR = f"{MIRRORED_SERVICE_LABEL}=true"


def federated_service_name(service: str) -> str:
    """Return the name of the federated service of a service."""
    return f"{service}-federated"


def cluster_selector(target: str) -> str:
    """Return the label selector of the objects that controllers created for a target."""
    return f"{CLUSTER_NAME_LABEL}={target}"


def parse_members(annotations: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """Return the members of a federated service: the names of service and cluster; empty for the cluster itself."""
    annotations = annotations or {}
    members = [
        member.rpartition("@") for member in (annotations.get(REMOTE_DISCOVERY) or "").split(",") if "@" in member
    ]
    local_service = annotations.get(LOCAL_DISCOVERY)
    local = [(local_service, "")] if local_service else []
    return [*((service, cluster) for service, _, cluster in members), *local]


def remove_member(client: KubeClient, service: Mapping[str, Any], target: str) -> None:
    """Remove a cluster's service from a federated service; without members, delete the federated service.

    Args:
        client: client of the cluster with the federated service.
        service: the federated service.
        target: name of the member's cluster; empty for the cluster with the federated service.

    Raises:
        ApiStatusError: the API server refuses the change; status 409 if a controller has changed the service meanwhile.
        ApiUnreachableError, BadCredentialsError: there is no response.
    """
    metadata = service["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}"
    remaining = [member for member in parse_members(metadata.get("annotations")) if member[1] != target]
    # With the resource version, a member that a controller adds meanwhile is not lost.
    version = metadata.get("resourceVersion")
    if not remaining:
        preconditions = {"preconditions": {"resourceVersion": version}} if version else None
        client.request("DELETE", path, body=preconditions)
        return
    remote = ",".join(f"{name}@{cluster}" for name, cluster in remaining if cluster)
    local = next((name for name, cluster in remaining if not cluster), None)
    annotations = {REMOTE_DISCOVERY: remote or None, LOCAL_DISCOVERY: local}
    changed = {"annotations": annotations, **({"resourceVersion": version} if version else {})}
    client.request("PATCH", path, body={"metadata": changed})


def remove_cluster(client: KubeClient, target: str) -> None:
    """Remove all services of a cluster from the federated services that they are members of.

    Args:
        client: client of the cluster with the federated services.
        target: name of the members' cluster; empty for the cluster with the federated services.
    """
    for service in client.list_objects("/api/v1/services", f"{MIRRORED_SELECTOR},!{CLUSTER_NAME_LABEL}"):
        if any(cluster == target for _, cluster in parse_members(service["metadata"].get("annotations"))):
            remove_member(client, service, target)
