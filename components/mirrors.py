"""The mirror services of one link, as something that the stack owns: their removal is part of `destroy`.

Linkerd's controller makes them, and leaves them behind when its Link goes (`linkerd multicluster unlink` is what
removes them). No Kubernetes object owns them either, so this resource makes nothing, and deletes them when the link is
gone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

import access
from access import Access

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    # Its packages take seconds to import, and the process that runs the provider doesn't need them.
    from components.cluster import Cluster

# Seconds that the controller's pods may take to end, after which its mirrors would only come back.
CONTROLLER_STOPS_WITHIN = 60


class _MirrorsProvider(ResourceProvider):
    """Runs in a process of its own, from state alone: `destroy` does not run the program."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=f"{props['source']}/{props['target']}", outs=_known(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_known(_olds) != _known(_news))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=_known(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        way = Access(context=_props["context"], kubeconfig=_props.get("kubeconfig") or "")
        remove_mirrors(access.client(way), _props["namespace"], _props["target"])


class Mirrors(Resource, module="multicluster-mesh", name="Mirrors"):
    """The mirror services of one target in one source cluster.

    Args:
        name: the resource name.
        cluster: the source.
        namespace: the namespace of the multicluster extension there.
        target: the target cluster's name.
        opts: the usual resource options; what makes mirrors must depend on this resource, to be gone before it is.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster: Cluster,
        namespace: pulumi.Input[str],
        target: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        found = cluster.settings
        props = {
            "source": cluster.name,
            "context": found.context.name,
            "kubeconfig": pulumi.Output.secret(found.kubeconfig) if found.kubeconfig_is_secret else found.kubeconfig,
            "namespace": namespace,
            "target": target,
        }
        super().__init__(_MirrorsProvider(), name, props, opts)


def remove_mirrors(api: ApiClient, namespace: str, target: str) -> None:
    """Delete what a link's controller has made: mirror Services, their Endpoints, and its Lease.

    Args:
        api: a client of the source cluster.
        namespace: where the controller ran.
        target: the target cluster's name.

    Raises:
        TimeoutError: the controller is still running; nothing was deleted.
    """
    from kubernetes import client
    from kubernetes.client import ApiException

    core = client.CoreV1Api(api)
    controller = f"component=linkerd-service-mirror,mirror.linkerd.io/cluster-name={target}"
    deadline = time.monotonic() + CONTROLLER_STOPS_WITHIN
    while core.list_namespaced_pod(namespace, label_selector=controller).items:
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"namespace {namespace}: pods with {controller} still run after {CONTROLLER_STOPS_WITHIN} seconds, and "
                "would make their mirror services again; look why they don't end, and run this once more"
            )
        time.sleep(0.2)

    mirrored = f"mirror.linkerd.io/mirrored-service=true,mirror.linkerd.io/cluster-name={target}"
    for kind in ("service", "endpoints"):
        for item in getattr(core, f"list_{kind}_for_all_namespaces")(label_selector=mirrored).items:
            try:
                getattr(core, f"delete_namespaced_{kind}")(item.metadata.name, item.metadata.namespace)
            except ApiException as error:
                if error.status != 404:
                    raise
    try:
        client.CoordinationV1Api(api).delete_namespaced_lease(f"service-mirror-write-{target}", namespace)
    except ApiException as error:
        if error.status != 404:
            raise


def _known(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props.get(key) for key in ("source", "context", "kubeconfig", "namespace", "target")}
