"""Links that were applied in an older version of their API: what lets them be applied in the present one.

Server-side apply prunes what a manager no longer applies, and for that converts the object back to the version in which
it applied it last. A Link's older versions don't know the newer ones' fields, so that the API server would refuse.
Their field paths are the same; so the version that is written beside them is changed, once, after linkerd-multicluster
has brought the new one.

Follows https://kubernetes.io/docs/reference/using-api/server-side-apply/#api-implementation (managedFields).
"""

from __future__ import annotations

from typing import Any

from mesh.kube import client as kube_client
from mesh.kube.client import Access


def migrate_managed_fields(way: Access, namespace: str, api: str) -> None:
    """Have all Links of a namespace be managed in one version of their API.

    Args:
        way: to the cluster.
        namespace: where they are.
        api: group and version, which the cluster has.
    """
    group, client = api.partition("/")[0], kube_client.connect(way)
    links = f"/apis/{api}/namespaces/{namespace}/links"
    for link in client.list_objects(links):
        metadata = link["metadata"]
        managed = metadata.get("managedFields") or []
        carried = [_with_api_version(entry, group, api) for entry in managed]
        if carried != managed:
            # With the version of the object, so that nobody else's change is lost.
            changed = {"metadata": {"managedFields": carried, "resourceVersion": metadata["resourceVersion"]}}
            client.request("PATCH", f"{links}/{metadata['name']}", body=changed)


def _with_api_version(entry: dict[str, Any], group: str, api: str) -> dict[str, Any]:
    ours = entry.get("apiVersion", "").startswith(f"{group}/")
    return {**entry, "apiVersion": api} if ours else entry
