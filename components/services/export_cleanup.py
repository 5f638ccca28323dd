"""Cleanup of an exported service's mirror in one source.

When a service is no longer exported, Linkerd's controller in the source deletes the mirror some seconds later. Without
a wait, an update would leave a mirror without backends, and `destroy` would delete the controller first. So the stack
has a resource for each source of an exported service. The resource creates nothing. Its deletion waits until the
controller has deleted the mirror. If no controller is running, the deletion deletes the mirror itself, at once.

There is one resource per source, so a new cluster does not change the resources of the others. Members of federated
services are removed in the same way. The cluster's own federated service counts as a source.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ExportCleanupProvider
from mesh.kube import client as kube_client
from mesh.kube import cluster_uid, federated_services
from mesh.kube.client import CONNECT_TIMEOUT_S, METADATA_LIST_MEDIA_TYPE, REQUEST_TIMEOUT_S, KubeClient
from mesh.kube.connection import Access
from mesh.kube.constants import CLUSTER_NAME_LABEL, EXPORTED_LABEL, FEDERATED_LABEL, MULTICLUSTER_NAMESPACE
from mesh.kube.errors import ApiStatusError, ApiUnreachableError, BadCredentialsError, KubeconfigContextError
from mesh.kube.json_access import as_mapping
from mesh.mirrors import mirror_name

if TYPE_CHECKING:
    # The import takes seconds, and the provider's process does not need it.
    from components.cluster import Cluster

# Controllers watch the service and need one or two seconds.
MIRROR_DELETION_TIMEOUT_S = 30
_POLL_INTERVAL_S = 0.2


class ExportCleanup(Resource, module="multicluster-mesh", name="ExportCleanup"):
    """The mirror of an exported service in one source, or the service's membership in a federated service there.

    Args:
        name: name of the Pulumi resource.
        service: name of the service.
        namespace: namespace of the service, which is the same in every cluster.
        target: cluster that exports the service.
        source: cluster with the mirror or the federated service; for the latter, it can be the target itself.
        is_federated: whether the service is a member of a federated service.
        opts: resource options; the service's export must depend on this resource, so that the export is deleted first.
    """

    def __init__(
        self,
        name: str,
        *,
        service: str,
        namespace: str,
        target: Cluster,
        source: Cluster,
        is_federated: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props: dict[str, Any] = {"service": service, "namespace": namespace}
        if is_federated:
            props["federated"] = True
        for end, cluster in (("target", target), ("source", source)):
            settings = cluster.settings
            kubeconfig: pulumi.Input[str] = settings.kubeconfig
            if settings.has_secret_kubeconfig:
                kubeconfig = pulumi.Output.secret(kubeconfig)
            props[end] = cluster.name
            props[f"{end}Context"] = settings.context.name
            props[f"{end}Kubeconfig"] = kubeconfig
            if cluster.identity.uid is not None:
                props[f"{end}Uid"] = cluster.identity.uid
        super().__init__(ExportCleanupProvider(), name, props, opts)


def delete_export(props: dict[str, Any], deadline: float) -> None:
    """Wait until a source no longer has the mirror of a service, or its membership in a federated service.

    At the deadline, delete what remains. Return at once if the service still has its export label: then the link is
    deleted, and all its mirrors with it. Return at once if a context leads to another cluster: that one is rebuilt or
    abandoned, because otherwise `ClusterIdentities` has prevented the deletion.

    Args:
        props: properties of an `ExportCleanup`, from the stack state.
        deadline: a value of `time.monotonic()`.
    """
    namespace, service, target = props["namespace"], props["service"], props["target"]
    is_federated = bool(props.get("federated"))
    if _is_another_cluster(props, "target") or _is_another_cluster(props, "source"):
        return
    labels = _read_labels(_access(props, "target"), namespace, service)
    if labels is None or (FEDERATED_LABEL if is_federated else EXPORTED_LABEL) in labels:
        return
    source = _access(props, "source")
    if not is_federated:
        delete_mirror(source, namespace, service, target, deadline)
        return
    if EXPORTED_LABEL in labels:
        # Linkerd's controller never removes such a member: for an exported service, it only updates the mirror.
        deadline = time.monotonic()
    leave_federated_service(source, namespace, service, "" if target == props["source"] else target, deadline)


def _access(props: dict[str, Any], end: str) -> Access:
    return Access(context=props[f"{end}Context"], kubeconfig=props.get(f"{end}Kubeconfig") or "")


def _is_another_cluster(props: dict[str, Any], end: str) -> bool:
    """Return whether the context of one end leads to another cluster; False for an unreachable one."""
    uid = props.get(f"{end}Uid")
    client = _connect(_access(props, end)) if uid is not None else None
    if client is None:
        return False
    try:
        cluster_uid.require_cluster(client, props[end], str(uid))
    except cluster_uid.WrongClusterError:
        return True
    except (ApiUnreachableError, BadCredentialsError):
        return False
    return False


def _read_labels(access: Access, namespace: str, service: str) -> dict[str, Any] | None:
    """Return the labels of a service, none if it does not exist; None if its cluster cannot be reached."""
    client = _connect(access)
    if client is None:
        return None
    try:
        response = client.request("GET", _service_path(namespace, service))
    except (ApiUnreachableError, BadCredentialsError):
        return None
    return as_mapping(response, "metadata", "labels")


def _connect(access: Access) -> KubeClient | None:
    """Return a client, or None if the kubeconfig no longer contains the cluster."""
    try:
        return kube_client.connect(access, timeout_s=REQUEST_TIMEOUT_S, connect_timeout_s=CONNECT_TIMEOUT_S)
    except KubeconfigContextError:
        return None


def _service_path(namespace: str, service: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services/{service}"


def delete_mirror(access: Access, namespace: str, service: str, target: str, deadline: float) -> None:
    """Wait until the mirror of a service is deleted, and delete it at the deadline.

    The mirror in an unreachable source is left to the source's controller, which deletes it after it reconnects.

    Args:
        access: credentials for the source cluster.
        namespace: namespace of the service.
        service: name of the service in the target.
        target: name of the target cluster.
        deadline: a value of `time.monotonic()`.
    """

    def is_mirror(candidate: dict[str, Any]) -> bool:
        # A Service with the same name but without this label is not a mirror of the target.
        return bool((candidate["metadata"].get("labels") or {}).get(CLUSTER_NAME_LABEL) == target)

    def delete(client: KubeClient, mirror: dict[str, Any]) -> None:
        client.request("DELETE", _service_path(namespace, mirror["metadata"]["name"]))

    _wait_until_absent(access, namespace, mirror_name(service, target), target, is_mirror, delete, deadline)


def leave_federated_service(access: Access, namespace: str, service: str, target: str, deadline: float) -> None:
    """Wait until a service is no longer a member of its federated service, and remove it at the deadline.

    Args:
        access: credentials for the cluster with the federated service.
        namespace: namespace of the service.
        service: name of the service.
        target: name of the service's cluster; empty for the cluster with the federated service.
        deadline: a value of `time.monotonic()`.
    """

    def has_member(federated: dict[str, Any]) -> bool:
        return (service, target) in federated_services.parse_members(federated["metadata"].get("annotations"))

    def remove(client: KubeClient, federated: dict[str, Any]) -> None:
        federated_services.remove_member(client, federated, target)

    name = federated_services.federated_service_name(service)
    _wait_until_absent(access, namespace, name, target, has_member, remove, deadline)


def _wait_until_absent(
    access: Access,
    namespace: str,
    name: str,
    target: str,
    is_present: Callable[[dict[str, Any]], bool],
    delete: Callable[[KubeClient, dict[str, Any]], None],
    deadline: float,
) -> None:
    """Wait until `is_present` is false for a Service; call `delete` at the deadline or without a controller."""
    client = _connect(access)
    if client is None:
        return
    path = _service_path(namespace, name)
    # An unreachable cluster is left to its own controller.
    with suppress(ApiUnreachableError, BadCredentialsError):
        while (service := client.request("GET", path)) is not None and is_present(service):
            if time.monotonic() < deadline and not _has_controller(client, target):
                deadline = time.monotonic()
            if time.monotonic() >= deadline:
                try:
                    delete(client, service)
                except ApiStatusError as error:
                    # A controller has changed the service since it was read.
                    if error.status != HTTPStatus.CONFLICT:
                        raise
                else:
                    return
            time.sleep(_POLL_INTERVAL_S)


def _has_controller(client: KubeClient, target: str) -> bool:
    """Return whether a controller runs that deletes the mirrors of a target.

    From Linkerd 2.18, the update of a release deletes the controller of a removed link before any export is deleted.

    Args:
        client: client of the source.
        target: name of the target; empty for the source's own members of federated services.
    """
    selector = f"{CLUSTER_NAME_LABEL}={target}" if target else "component=local-service-mirror"
    path = f"/api/v1/namespaces/{MULTICLUSTER_NAMESPACE}/pods"
    pods = client.list_objects(path, selector, accept=METADATA_LIST_MEDIA_TYPE)
    return any("deletionTimestamp" not in pod["metadata"] for pod in pods)
