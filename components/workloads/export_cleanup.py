"""An exported service as one source sees it: when it is exported no longer, its mirror there goes.

Linkerd's controller in the source removes it, some moments later. An update that ends before it has would leave a
service that leads nowhere, and a `destroy` would take the controller away first. So this resource makes nothing, and
its removal waits; what is still there after that, because no controller is at work, it removes itself. There is one for
each source, so that a new cluster changes nothing for the others. It is the same for a member of a federated service,
which leaves it; there the cluster itself is one of those that see it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ExportCleanupProvider
from components.linkerd import federated_services
from mesh.kube import client as kube_client
from mesh.kube.client import CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S, Access, KubeClient
from mesh.kube.constants import CLUSTER_NAME_LABEL, EXPORTED_LABEL, FEDERATED_LABEL
from mesh.kube.errors import ApiUnreachableError, BadCredentialsError, KubeconfigContextError

if TYPE_CHECKING:
    # Its packages take seconds to import, and the process that runs the provider doesn't need them.
    from components.cluster import Cluster

# Seconds that controllers have for it; they watch, and need one or two.
MIRROR_DELETION_TIMEOUT_S = 30


class ExportCleanup(Resource, module="multicluster-mesh", name="ExportCleanup"):
    """One exported service, as one source sees it.

    Args:
        name: the resource name.
        service: the service's name.
        namespace: its namespace, of the same name in every cluster.
        target: the cluster that exports it.
        source: the cluster that sees it.
        federated: whether it is seen as a member of a federated service; the source may be the target itself.
        opts: the usual resource options; the service must depend on this resource, to be gone before it is.
    """

    def __init__(
        self,
        name: str,
        *,
        service: str,
        namespace: str,
        target: Cluster,
        source: Cluster,
        federated: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props: dict[str, Any] = {"service": service, "namespace": namespace}
        if federated:
            props["federated"] = True
        for end, cluster in (("target", target), ("source", source)):
            found = cluster.settings
            secret = found.kubeconfig_is_secret
            props[end] = cluster.name
            props[f"{end}Context"] = found.context.name
            props[f"{end}Kubeconfig"] = pulumi.Output.secret(found.kubeconfig) if secret else found.kubeconfig
        super().__init__(ExportCleanupProvider(), name, props, opts)


def delete_export(props: dict[str, Any], deadline: float) -> None:
    """Wait until a source no longer has the mirror of a service, or its membership in a federated service.

    At the deadline, delete what remains. Return at once if the service still has its export label: then the link is
    deleted, and all its mirrors with it.

    Args:
        props: properties of an `ExportCleanup`, from the stack state.
        deadline: a value of `time.monotonic()`.
    """
    namespace, service, target = props["namespace"], props["service"], props["target"]
    federated = bool(props.get("federated"))
    label = FEDERATED_LABEL if federated else EXPORTED_LABEL
    if _has_label(_access(props, "target"), namespace, service, label):
        return
    source = _access(props, "source")
    if federated:
        leave_federated_service(source, namespace, service, "" if target == props["source"] else target, deadline)
    else:
        delete_mirror(source, namespace, service, target, deadline)


def _access(props: dict[str, Any], end: str) -> Access:
    return Access(context=props[f"{end}Context"], kubeconfig=props.get(f"{end}Kubeconfig") or "")


def _has_label(way: Access, namespace: str, service: str, label: str) -> bool:
    """Whether a service is there, and has a label; also where nobody can tell, because then no mirror goes."""
    client = _connect(way)
    if client is None:
        return True
    try:
        found = client.request("GET", _service_path(namespace, service))
    except (ApiUnreachableError, BadCredentialsError):
        return True
    return found is not None and bool((found["metadata"].get("labels") or {}).get(label))


def _connect(access: Access) -> KubeClient | None:
    """Return a client, or None if the kubeconfig no longer contains the cluster."""
    try:
        return kube_client.connect(access, timeout_s=REQUEST_TIMEOUT_S, connect_timeout_s=CONNECT_TIMEOUT_S)
    except KubeconfigContextError:
        return None


def _service_path(namespace: str, service: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services/{service}"


def delete_mirror(way: Access, namespace: str, service: str, target: str, deadline: float) -> None:
    """Wait until the mirror of a service is gone, and remove it if nobody else does.

    A source that can't be reached is left to its own controller, which finds out when it is back.

    Args:
        way: to the source cluster.
        namespace: the service's.
        service: its name in the target.
        target: the target cluster's name.
        deadline: when to wait no longer, of `time.monotonic()`.
    """

    def is_there(found: dict[str, Any]) -> bool:
        # Else it is somebody else's, of the same name.
        return bool((found["metadata"].get("labels") or {}).get(CLUSTER_NAME_LABEL) == target)

    def remove(client: KubeClient, found: dict[str, Any]) -> None:
        client.request("DELETE", _service_path(namespace, found["metadata"]["name"]))

    _wait_until_absent(way, namespace, f"{service}-{target}", is_there, remove, deadline)


def leave_federated_service(way: Access, namespace: str, service: str, target: str, deadline: float) -> None:
    """Wait until a service is no member of its federated service any more, and take it out if nobody else does.

    Args:
        way: to the cluster that has the federated service.
        namespace: the service's.
        service: its name.
        target: its cluster; empty for the one that has the federated service.
        deadline: when to wait no longer, of `time.monotonic()`.
    """

    def is_member(found: dict[str, Any]) -> bool:
        return (service, target) in federated_services.parse_members(found["metadata"].get("annotations"))

    def take_out(client: KubeClient, found: dict[str, Any]) -> None:
        federated_services.remove_member(client, found, target)

    _wait_until_absent(
        way, namespace, federated_services.federated_service_name(service), is_member, take_out, deadline
    )


def _wait_until_absent(
    way: Access,
    namespace: str,
    name: str,
    remains: Callable[[dict[str, Any]], bool],
    end: Callable[[KubeClient, dict[str, Any]], None],
    deadline: float,
) -> None:
    """Wait until nothing of a service remains, and end it oneself when it is time."""
    client = _connect(way)
    if client is None:
        return
    path = _service_path(namespace, name)
    # An unreachable cluster is left to its own controller.
    with suppress(ApiUnreachableError, BadCredentialsError):
        while (found := client.request("GET", path)) is not None and remains(found):
            if time.monotonic() > deadline:
                end(client, found)
                return
            time.sleep(0.2)
