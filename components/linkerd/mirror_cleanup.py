"""Cleanup of the mirror services and federated services that a link's controller creates.

Linkerd's controllers do not delete these objects when their Link is deleted; `linkerd multicluster unlink` does. No
Kubernetes object owns them. So the stack has a resource that creates nothing and deletes them after the link.

From Linkerd 2.18, the resource also restarts the controller when the link's credentials change
(`components.linkerd.controller_restart`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import MirrorCleanupProvider
from mesh.kube import federated_services
from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CLUSTER_NAME_LABEL
from mesh.kube.watch import Collection, wait_until

if TYPE_CHECKING:
    # The import takes seconds, and the provider's process does not need it.
    from components.cluster import Cluster

# While pods of a deleted controller still run, they would re-create the mirrors.
CONTROLLER_STOP_TIMEOUT_S = 60
# A controller that keeps running may still write mirrors for a moment after its Link is deleted.
CONTROLLER_GRACE_PERIOD_S = 1


class MirrorCleanup(Resource, module="multicluster-mesh", name="MirrorCleanup"):
    """The mirror services and federated members of one target in one source.

    Args:
        name: name of the Pulumi resource.
        cluster: source cluster.
        namespace: namespace of the multicluster extension in the source.
        target: name of the target cluster; empty for the source's own members of federated services.
        controller: Deployment to restart when the credentials change; None if Helm restarts it.
        credentials_checksum: checksum that changes with the credentials.
        opts: resource options; a controller that must be deleted before the cleanup depends on this resource.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster: Cluster,
        namespace: pulumi.Input[str],
        target: str,
        controller: str | None = None,
        credentials_checksum: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props: dict[str, Any] = {
            "source": cluster.name,
            **cluster.access_inputs,
            "namespace": namespace,
            "target": target,
        }
        if controller is not None:
            props |= {"controller": controller, "credentialsChecksum": credentials_checksum}
        super().__init__(MirrorCleanupProvider(), name, props, opts)


def delete_mirrors(client: KubeClient, namespace: str, target: str) -> None:
    """Delete the mirror Services and Endpoints that a link's controller created, and its Lease.

    Args:
        client: client of the source cluster.
        namespace: namespace of the controller.
        target: name of the target cluster; empty for the controller of the source's own members.

    Raises:
        TimeoutError: the controller is still running; nothing was deleted.
    """
    link_selector = f"component=linkerd-service-mirror,{CLUSTER_NAME_LABEL}={target}"
    _wait_for_pod_deletion(client, namespace, link_selector if target else "component=local-service-mirror")
    federated_services.remove_cluster(client, target)
    if target:
        _delete_mirror_services(client, target)
        if _has_pods(client, namespace, f"component=controller,{federated_services.cluster_selector(target)}"):
            time.sleep(CONTROLLER_GRACE_PERIOD_S)
            federated_services.remove_cluster(client, target)
            _delete_mirror_services(client, target)
    lease = f"service-mirror-write-{target}" if target else "local-service-mirror-write"
    client.request("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}")


def _has_pods(client: KubeClient, namespace: str, selector: str) -> bool:
    return bool(client.list_objects(f"/api/v1/namespaces/{namespace}/pods", selector))


def _wait_for_pod_deletion(client: KubeClient, namespace: str, selector: str) -> None:
    pods = Collection(
        path=f"/api/v1/namespaces/{namespace}/pods", label_selector=selector, accept=METADATA_LIST_MEDIA_TYPE
    )
    if not wait_until(client, pods, lambda running: not running, timeout_s=CONTROLLER_STOP_TIMEOUT_S):
        raise TimeoutError(
            f"namespace {namespace}: pods with {selector}: still running after {CONTROLLER_STOP_TIMEOUT_S} "
            "seconds, so they would re-create the mirror services; find the cause with "
            f"`kubectl -n {namespace} describe pods -l {selector}`, then run the command again"
        )


def _delete_mirror_services(client: KubeClient, target: str) -> None:
    selector = f"{federated_services.MIRRORED_SELECTOR},{federated_services.cluster_selector(target)}"
    for kind in ("services", "endpoints"):
        for item in client.list_objects(f"/api/v1/{kind}", selector):
            metadata = item["metadata"]
            client.request("DELETE", f"/api/v1/namespaces/{metadata['namespace']}/{kind}/{metadata['name']}")
