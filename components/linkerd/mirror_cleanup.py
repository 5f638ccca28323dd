"""What a link's controller makes, as something that the stack owns: its removal is part of `destroy`.

Linkerd's controllers make mirror services and federated services, and leave them behind when their Link goes (`linkerd
multicluster unlink` is what removes them). No Kubernetes object owns them either, so this resource makes nothing, and
deletes them when the link is gone. From Linkerd 2.18 it also restarts the controller when the link's credentials are
new: it reads them only with its Link.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import MirrorCleanupProvider
from components.linkerd import federated_services
from mesh.kube.client import KubeClient
from mesh.kube.constants import CLUSTER_NAME_LABEL

if TYPE_CHECKING:
    # Its packages take seconds to import, and the process that runs the provider doesn't need them.
    from components.cluster import Cluster

# Seconds that pods of controllers that go may take to end, after which their mirrors would only come back.
CONTROLLER_STOP_TIMEOUT_S = 60
# Seconds in which a controller that stays may still finish what it was at when its Link went.
CONTROLLER_GRACE_PERIOD_S = 1
CREDENTIALS_CHECKSUM_ANNOTATION = "multicluster-mesh/credentials-checksum"


class MirrorCleanup(Resource, module="multicluster-mesh", name="MirrorCleanup"):
    """The mirror services of one target in one source cluster, and its members of federated services there.

    Args:
        name: the resource name.
        cluster: the source.
        namespace: the namespace of the multicluster extension there.
        target: the target cluster's name; empty for the cluster's own members of federated services.
        controller: the Deployment that is restarted when the credentials change; None where something else sees to it.
        credentials_checksum: changes with the credentials.
        opts: the usual resource options; what makes mirrors must depend on this resource, to be gone before it is.
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


def restart_controller(client: KubeClient, namespace: str, controller: str, checksum: str) -> None:
    """Have a controller's pods made anew, one after the other, as `kubectl rollout restart` does.

    Args:
        client: a client of the source cluster.
        namespace: where the controller runs.
        controller: its Deployment.
        checksum: of the credentials that it is to read.
    """
    changed = {"spec": {"template": {"metadata": {"annotations": {CREDENTIALS_CHECKSUM_ANNOTATION: checksum}}}}}
    # One that isn't there reads them when it comes.
    client.request("PATCH", f"/apis/apps/v1/namespaces/{namespace}/deployments/{controller}", body=changed)


def delete_mirrors(client: KubeClient, namespace: str, target: str) -> None:
    """Delete what a link's controller has made: mirror Services, their Endpoints, and its Lease.

    Args:
        client: a client of the source cluster.
        namespace: where the controller ran.
        target: the target cluster's name; empty for the controller of the cluster's own members.

    Raises:
        TimeoutError: the controller is still running; nothing was deleted.
    """
    own = f"component=linkerd-service-mirror,{CLUSTER_NAME_LABEL}={target}"
    _wait_for_pod_deletion(client, namespace, own if target else "component=local-service-mirror")
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
    deadline = time.monotonic() + CONTROLLER_STOP_TIMEOUT_S
    while _has_pods(client, namespace, selector):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"namespace {namespace}: pods with {selector} still run after {CONTROLLER_STOP_TIMEOUT_S} seconds, and "
                "would make their mirror services again; look why they don't end, and run this once more"
            )
        time.sleep(0.2)


def _delete_mirror_services(client: KubeClient, target: str) -> None:
    mirrored = f"{federated_services.MIRRORED_SELECTOR},{federated_services.cluster_selector(target)}"
    for kind in ("services", "endpoints"):
        for item in client.list_objects(f"/api/v1/{kind}", mirrored):
            metadata = item["metadata"]
            client.request("DELETE", f"/api/v1/namespaces/{metadata['namespace']}/{kind}/{metadata['name']}")
