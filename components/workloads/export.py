"""An exported service, seen from the clusters that have its mirror: when it is exported no longer, its mirrors go.

Linkerd's controllers in those clusters remove them, some moments later. An update that ends before they have would
leave services that lead nowhere, and a `destroy` would take the controllers away first. So this resource makes nothing,
and its removal waits; what is still there after that, because no controller is at work, it removes itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

import access
from access import Access

if TYPE_CHECKING:
    # Its packages take seconds to import, and the process that runs the provider doesn't need them.
    from components.cluster import Cluster

# Seconds that controllers have for it; they watch, and need one or two.
MIRRORS_GO_WITHIN = 60
# Seconds that a cluster has to be reached, which is tried four times, and to answer.
PATIENCE = (5, 30)


class _ExportProvider(ResourceProvider):
    """Runs in a process of its own, from state alone: `destroy` does not run the program."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_=f"{props['target']}/{props['namespace']}/{props['service']}", outs=_known(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_known(_olds) != _known(_news))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=_known(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        deadline = time.monotonic() + MIRRORS_GO_WITHIN
        for source in _props["sources"].values():
            way = Access(context=source["context"], kubeconfig=source.get("kubeconfig") or "")
            remove_mirror(way, _props["namespace"], _props["service"], _props["target"], deadline)


class Export(Resource, module="multicluster-mesh", name="Export"):
    """One exported service, and who sees it.

    Args:
        name: the resource name.
        service: the service's name.
        namespace: its namespace, of the same name in every cluster.
        target: the cluster that exports it.
        sources: the clusters that see it; as they come and go, this resource stays, and nothing is waited for.
        opts: the usual resource options; the service must depend on this resource, to be gone before it is.
    """

    def __init__(
        self,
        name: str,
        *,
        service: str,
        namespace: str,
        target: str,
        sources: Mapping[str, Cluster],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        ways = {
            source: {
                "context": cluster.settings.context.name,
                "kubeconfig": pulumi.Output.secret(cluster.settings.kubeconfig)
                if cluster.settings.kubeconfig_is_secret
                else cluster.settings.kubeconfig,
            }
            for source, cluster in sources.items()
        }
        props = {"service": service, "namespace": namespace, "target": target, "sources": ways}
        super().__init__(_ExportProvider(), name, props, opts)


def remove_mirror(way: Access, namespace: str, service: str, target: str, deadline: float) -> None:
    """Wait until the mirror of a service is gone, and remove it if nobody else does.

    A source that can't be reached is left to its own controller, which finds out when it is back.

    Args:
        way: to the source cluster.
        namespace: the service's.
        service: its name in the target.
        target: the target cluster's name.
        deadline: when to wait no longer, of `time.monotonic()`.
    """
    from kubernetes import client
    from kubernetes.client import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    name = f"{service}-{target}"
    try:
        core = client.CoreV1Api(access.client(way))
        while True:
            found = core.read_namespaced_service(name, namespace, _request_timeout=PATIENCE)
            if (found.metadata.labels or {}).get("mirror.linkerd.io/cluster-name") != target:
                return  # somebody else's, of the same name
            if time.monotonic() > deadline:
                core.delete_namespaced_service(name, namespace, _request_timeout=PATIENCE)
                return
            time.sleep(0.2)
    except ApiException as error:
        if error.status != 404:
            raise
    except (HTTPError, ConfigException):
        return  # the kubeconfig of one that is away may know nothing of it


def _known(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props.get(key) for key in ("service", "namespace", "target", "sources")}
