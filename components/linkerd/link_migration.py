"""Migration of Links that were applied in an older API version.

Server-side apply prunes fields that a field manager no longer applies. For that, the API server converts the object to
the version of the manager's last apply. Older versions of a Link lack fields of newer ones, so the conversion fails.
The field paths are equal in all versions. So the migration changes only the version in the managed fields, after
linkerd-multicluster has installed the new one.

Follows https://kubernetes.io/docs/reference/using-api/server-side-apply/#api-implementation (managedFields).
"""

from __future__ import annotations

from typing import Any

from mesh.kube import client as kube_client
from mesh.kube.connection import Access


def migrate_managed_fields(access: Access, namespace: str, api: str) -> None:
    """Set the API version in the managed fields of all Links in a namespace.

    Args:
        access: credentials for the cluster.
        namespace: namespace of the Links.
        api: group and version that the cluster serves.
    """
    group, client = api.partition("/")[0], kube_client.connect(access)
    links = f"/apis/{api}/namespaces/{namespace}/links"
    for link in client.list_objects(links):
        metadata = link["metadata"]
        managed_fields = metadata.get("managedFields") or []
        migrated = [_with_api_version(entry, group, api) for entry in managed_fields]
        if migrated != managed_fields:
            # With the resource version, the API server rejects the patch after a concurrent change.
            patch = {"metadata": {"managedFields": migrated, "resourceVersion": metadata["resourceVersion"]}}
            client.request("PATCH", f"{links}/{metadata['name']}", body=patch)


def _with_api_version(entry: dict[str, Any], group: str, api: str) -> dict[str, Any]:
    has_group = entry.get("apiVersion", "").startswith(f"{group}/")
    return {**entry, "apiVersion": api} if has_group else entry
