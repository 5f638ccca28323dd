"""Former release of objects that a new Helm release takes over.

When Helm creates a release over existing objects, it does less than an upgrade. Helm changes no object of a kind
without a Go type in Helm, such as an APIService with its `caBundle`. Helm deletes no object that only the former
release had, and no such field. So before a create, the former revision is kept in a Secret. After the create, the
objects are compared, repaired and cleaned up. The Secret is deleted last, so an interrupted takeover continues with the
next update.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from mesh.concurrency import run_concurrently
from mesh.helm import drift, release_storage
from mesh.helm.drift.detect import RETAINED_KINDS
from mesh.helm.manifest import manifest_objects
from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, REQUEST_TIMEOUT_S, KubeClient
from mesh.kube.constants import CRDS_PATH, FIELD_MANAGER_ANNOTATION, RESOURCE_POLICY_ANNOTATION
from mesh.kube.errors import ApiStatusError
from mesh.kube.json_access import as_mapping, as_mappings
from mesh.kube.object_path import ObjectLocator, ObjectPath, object_key
from mesh.kube.ownership import helm_ownership_metadata

# As long as the client itself waits for a response, with its attempts.
_LIST_TIMEOUT_S = 4 * REQUEST_TIMEOUT_S
_INSTALLED_STATUSES = {"deployed", "superseded", "uninstalling"}


def keep_former_release(
    client: KubeClient, namespace: str, release: str, revisions: Sequence[Mapping[str, Any]]
) -> None:
    """Keep the former release in a Secret, if there are former objects; raise as `client.request` does.

    Args:
        client: the cluster's client.
        namespace: namespace of the release.
        release: name of the release that Helm is about to create.
        revisions: Secrets of the revisions that will be deleted.
    """
    if not revisions and not _has_objects(client, namespace, release):
        return
    installed = [each for each in revisions if release_storage.revision_status(each) in _INSTALLED_STATUSES]
    latest = max(installed or revisions, key=release_storage.revision_number, default=None)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _secret_name(release), "namespace": namespace},
        "data": dict(latest["data"]) if latest is not None else {},
    }
    try:
        client.request("POST", release_storage.secrets_path(namespace), body=secret)
    except ApiStatusError as error:
        if error.status != HTTPStatus.CONFLICT:  # an interrupted takeover has kept the former release
            raise


def take_over_objects(client: KubeClient, namespace: str, release: str) -> list[str]:
    """Repair the objects that a release took over, delete obsolete ones, and return a description of each.

    Return nothing if the release took over no objects, or if Helm has not stored its revision yet.

    Args:
        client: the cluster's client.
        namespace: namespace of the release.
        release: name of the release.

    Raises:
        RepairError: an object cannot be repaired.
        NotReadableError, ApiStatusError, ApiUnreachableError, BadCredentialsError: objects cannot be read or deleted.
    """
    path = f"{release_storage.secrets_path(namespace)}/{_secret_name(release)}"
    secret = client.request("GET", path)
    revision = release_storage.read_latest_revision(client, namespace, release) if secret is not None else None
    if secret is None or revision is None:
        return []
    former = _manifest(secret)
    shortened = drift.remove_former_fields(client, namespace, former, revision.manifest)
    changes = [f"removed fields of the former release: {each}" for each in shortened]
    changes += [f"repaired: {each}" for each in drift.repair_drift(client, namespace, release)]
    for name, location in _find_obsolete_objects(client, namespace, release, former, revision.manifest):
        client.request("DELETE", f"{location.path}?propagationPolicy=Background")
        changes.append(f"deleted: {name}, which only the former release had")
    client.request("DELETE", path)
    return changes


def _secret_name(release: str) -> str:
    return f"multicluster-mesh-former-release-{release}"


def _manifest(secret: Mapping[str, Any]) -> str:
    """Return the manifest of the kept release; empty if no revision was kept, or none that can be read."""
    try:
        return str(release_storage.decode_release(secret).get("manifest") or "")
    except (KeyError, TypeError, ValueError, OSError, EOFError, zlib.error):
        return ""


def _has_objects(client: KubeClient, namespace: str, release: str) -> bool:
    """Return whether a release without revisions has left objects.

    Each chart of this program has a CRD, a ServiceAccount or a ClusterRole.
    """
    annotations = helm_ownership_metadata(release, namespace)["annotations"]
    paths = (
        f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        CRDS_PATH,
    )

    def has_objects(path: str) -> bool:
        try:
            objects = client.list_objects(path, "app.kubernetes.io/managed-by=Helm", accept=METADATA_LIST_MEDIA_TYPE)
        except ApiStatusError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            return False
        return any(
            annotations.items() <= as_mapping(each, "metadata", "annotations").items() for each in as_mappings(objects)
        )

    jobs = [partial(has_objects, path) for path in paths]
    return any(run_concurrently(jobs, idle_timeout_s=_LIST_TIMEOUT_S, threads=len(jobs)))


def _find_obsolete_objects(
    client: KubeClient, namespace: str, release: str, former: str, current: str
) -> Iterator[tuple[str, ObjectPath]]:
    """Yield kind, name and path of each object that Helm's upgrade from the former release would delete."""
    annotations = helm_ownership_metadata(release, namespace)["annotations"]
    remaining = {object_key(body, namespace) for body in manifest_objects(current)}
    locator = ObjectLocator(client)
    for body in manifest_objects(former):
        if object_key(body, namespace) in remaining or body["kind"] in RETAINED_KINDS:
            continue
        location = locator.find(body, namespace)
        name = f"{body['kind']} {body['metadata']['name']}"
        live = client.get(location.path, name) if location is not None else None
        if live is None or location is None:
            continue
        live_annotations = as_mapping(live, "metadata", "annotations")
        # An object of Pulumi keeps Helm's annotations when this program takes it over.
        is_retained = (
            FIELD_MANAGER_ANNOTATION in live_annotations or live_annotations.get(RESOURCE_POLICY_ANNOTATION) == "keep"
        )
        if annotations.items() <= live_annotations.items() and not is_retained:
            yield name, location
