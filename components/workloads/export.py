"""An exported service as one source sees it: when it is exported no longer, its mirror there goes.

Linkerd's controller in the source removes it, some moments later. An update that ends before it has would leave a
service that leads nowhere, and a `destroy` would take the controller away first. So this resource makes nothing, and
its removal waits; what is still there after that, because no controller is at work, it removes itself. There is one for
each source, so that a new cluster changes nothing for the others.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

import access
from access import Access

if TYPE_CHECKING:
    # Its packages take seconds to import, and the process that runs the provider doesn't need them.
    from components.cluster import Cluster

EXPORTED = "mirror.linkerd.io/exported"
_ID = ("target", "namespace", "service", "source")
_KEYS = (*_ID, "targetContext", "targetKubeconfig", "sourceContext", "sourceKubeconfig")
# Seconds that controllers have for it; they watch, and need one or two.
MIRRORS_GO_WITHIN = 30
# Seconds that a cluster has to be reached, which is tried four times, and to answer.
PATIENCE = (5, 30)


class _ExportProvider(ResourceProvider):
    """Runs in a process of its own, from state alone: `destroy` does not run the program."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(id_="/".join(props[key] for key in _ID), outs=_known(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=_known(_olds) != _known(_news))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(outs=_known(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        namespace, service, target = _props["namespace"], _props["service"], _props["target"]
        if _is_exported(_way(_props, "target"), namespace, service):
            return  # it is the link that goes, and it takes all its mirrors along
        remove_mirror(_way(_props, "source"), namespace, service, target, time.monotonic() + MIRRORS_GO_WITHIN)


class Export(Resource, module="multicluster-mesh", name="Export"):
    """One exported service, as one source sees it.

    Args:
        name: the resource name.
        service: the service's name.
        namespace: its namespace, of the same name in every cluster.
        target: the cluster that exports it.
        source: the cluster that sees it.
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
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props: dict[str, Any] = {"service": service, "namespace": namespace}
        for end, cluster in (("target", target), ("source", source)):
            found = cluster.settings
            secret = found.kubeconfig_is_secret
            props[end] = cluster.name
            props[f"{end}Context"] = found.context.name
            props[f"{end}Kubeconfig"] = pulumi.Output.secret(found.kubeconfig) if secret else found.kubeconfig
        super().__init__(_ExportProvider(), name, props, opts)


def _way(props: dict[str, Any], end: str) -> Access:
    return Access(context=props[f"{end}Context"], kubeconfig=props.get(f"{end}Kubeconfig") or "")


def _is_exported(way: Access, namespace: str, service: str) -> bool:
    """Whether a service is there, and exported; also where nobody can tell, because then no mirror goes."""
    from kubernetes import client
    from kubernetes.client import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        found = client.CoreV1Api(access.client(way)).read_namespaced_service(
            service, namespace, _request_timeout=PATIENCE
        )
    except ApiException as error:
        if error.status != 404:
            raise
        return False
    except (HTTPError, ConfigException):
        return True
    return bool((found.metadata.labels or {}).get(EXPORTED))


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
    return {key: props.get(key) for key in _KEYS}
