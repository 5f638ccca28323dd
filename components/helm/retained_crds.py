"""The Gateway API's CRDs of linkerd-crds, as something that the stack owns: their removal is part of `destroy`.

The chart asks Helm to leave them where they are, so that nobody's routes go with Linkerd. Then they would stay when
everything else goes. So this resource makes nothing, and deletes them when the release is gone: those that the release
has brought, that nobody else has applied since, and of which no object is left.

Follows https://helm.sh/docs/howto/charts_tips_and_tricks/#tell-helm-not-to-uninstall-a-resource and
https://linkerd.io/2.18/tasks/gateway-api-ownership-migration/.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import RetainedCrdsProvider
from mesh.kube import client as kube_client
from mesh.kube.ownership import GATEWAY_API, belongs_to_release

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    # Its packages take seconds to import, and the process that runs the provider doesn't need them.
    from components.cluster import Cluster

# Seconds that the API server has to take a kind away.
CRD_DELETION_TIMEOUT_S = 60
# Seconds that a cluster has to be reached, which is tried four times, and to answer.
CONNECT_READ_TIMEOUT_S = (5, 30)
CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class RetainedCrds(Resource, module="multicluster-mesh", name="RetainedCrds"):
    """The CRDs that one Helm release leaves behind in a cluster.

    Args:
        name: the resource name.
        cluster: the cluster.
        release: the release's name.
        namespace: the release's namespace.
        opts: the usual resource options; the release must depend on this resource, to be gone before it is.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster: Cluster,
        release: str,
        namespace: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "cluster": cluster.name,
            **cluster.access_inputs,
            "release": release,
            "namespace": namespace,
        }
        super().__init__(RetainedCrdsProvider(), name, props, opts)


def delete_retained_crds(api: ApiClient, release: str, namespace: str) -> Iterator[str]:
    """Delete the CRDs that a release has left behind; gives what is to be said of those that stay.

    Nothing is deleted while the release is there: then another release of Linkerd has no such resource, or somebody
    else brings the CRDs from now on.

    Args:
        api: a client of the cluster.
        release: the release's name.
        namespace: where it was.
    """
    records = f"/api/v1/namespaces/{namespace}/secrets"
    if kube_client.list_objects(api, records, f"owner=helm,name={release}", timeout=CONNECT_READ_TIMEOUT_S):
        return
    brought = [
        crd
        for crd in kube_client.list_objects(api, CRDS_PATH, timeout=CONNECT_READ_TIMEOUT_S)
        if belongs_to_release(crd["metadata"], release, namespace)
    ]
    going = []
    for crd in brought:
        if crd["spec"]["group"] != GATEWAY_API:
            continue
        name = crd["metadata"]["name"]
        left = _count_objects(api, crd)
        if left:
            there = "1 object of it is" if left == 1 else f"{left} objects of it are"
            yield f"{name} stays, because {there} there; when nobody needs them any more: kubectl delete crd {name}"
        else:
            kube_client.request(api, "DELETE", f"{CRDS_PATH}/{name}", timeout=CONNECT_READ_TIMEOUT_S)
            going.append(name)
    deadline = time.monotonic() + CRD_DELETION_TIMEOUT_S
    while going and time.monotonic() < deadline:
        going = [
            name
            for name in going
            if kube_client.request(api, "GET", f"{CRDS_PATH}/{name}", timeout=CONNECT_READ_TIMEOUT_S) is not None
        ]
        time.sleep(0.2 if going else 0)


def objects_path(crd: dict[str, Any]) -> str | None:
    """The path of all objects of a kind; None where none is served.

    Args:
        crd: the CustomResourceDefinition.
    """
    spec = crd["spec"]
    version = next((each["name"] for each in spec["versions"] if each["served"]), None)
    return None if version is None else f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"


def _count_objects(api: ApiClient, crd: dict[str, Any]) -> int:
    """How many objects of a kind there are."""
    path = objects_path(crd)
    listed = (
        kube_client.request(api, "GET", f"{path}?limit=1", timeout=CONNECT_READ_TIMEOUT_S) if path is not None else None
    )
    if listed is None:
        return 0
    return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount") or 0)
