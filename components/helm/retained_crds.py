"""Deletion of the CRDs that Helm retains: the Gateway API's CRDs of the linkerd-crds chart.

The chart sets `helm.sh/resource-policy: keep`, so that no routes of others are deleted with Linkerd. Without this
resource, these CRDs would remain after `destroy`. The resource creates nothing and is deleted after the release. Its
deletion deletes the CRDs that the release created. CRDs that another owner has applied since, or that still have
objects, are retained.

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
from mesh.helm import release_storage
from mesh.kube.constants import CRDS_PATH
from mesh.kube.ownership import GATEWAY_API_GROUP, belongs_to_release

if TYPE_CHECKING:
    # Its dependencies take seconds to import, and the provider's process does not need them.
    from components.cluster import Cluster
    from mesh.kube.client import KubeClient

# The API server deletes a CRD and its storage within this time.
CRD_DELETION_TIMEOUT_S = 60


class RetainedCrds(Resource, module="multicluster-mesh", name="RetainedCrds"):
    """The CRDs that Helm retains after it uninstalls a release.

    Args:
        name: name of the Pulumi resource.
        cluster: the cluster.
        release: name of the release.
        namespace: namespace of the release.
        opts: resource options; the release must depend on this resource, so that the release is deleted first.
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


def delete_retained_crds(client: KubeClient, release: str, namespace: str) -> Iterator[str]:
    """Delete the CRDs that a release left behind, and yield a warning for each that has to stay.

    Delete nothing while the release exists. In that case the stack still has Linkerd, and needs only this resource no
    longer: the settings name another Linkerd release, or another source of the CRDs.

    Args:
        client: the cluster's client.
        release: name of the release.
        namespace: namespace of the release.
    """
    if release_storage.list_revisions(client, namespace, release):
        return
    crds = [crd for crd in client.list_objects(CRDS_PATH) if belongs_to_release(crd["metadata"], release, namespace)]
    deleted = []
    for crd in crds:
        if crd["spec"]["group"] != GATEWAY_API_GROUP:
            continue
        name = crd["metadata"]["name"]
        count = _count_objects(client, crd)
        if count:
            objects = "1 object" if count == 1 else f"{count} objects"
            yield f"{name} stays, because it has {objects}; if they are not needed, run: kubectl delete crd {name}"
        else:
            client.request("DELETE", f"{CRDS_PATH}/{name}")
            deleted.append(name)
    deadline = time.monotonic() + CRD_DELETION_TIMEOUT_S
    while deleted and time.monotonic() < deadline:
        deleted = [name for name in deleted if client.request("GET", f"{CRDS_PATH}/{name}") is not None]
        time.sleep(0.2 if deleted else 0)


def objects_path(crd: dict[str, Any]) -> str | None:
    """Return the path of all objects of a CRD, or None if the CRD serves no version."""
    spec = crd["spec"]
    version = next((each["name"] for each in spec["versions"] if each["served"]), None)
    return None if version is None else f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"


def _count_objects(client: KubeClient, crd: dict[str, Any]) -> int:
    path = objects_path(crd)
    object_list = client.request("GET", f"{path}?limit=1") if path is not None else None
    if object_list is None:
        return 0
    return len(object_list["items"]) + int(object_list["metadata"].get("remainingItemCount") or 0)
