"""A release's CRDs on their way out: that they go at once, and that nothing is installed before they are gone.

The API server may forget a CRD that is deleted before anybody has read an object of it: it finds the storage not ready,
and looks again up to five minutes later (https://github.com/operator-framework/operator-controller/issues/1437). So
each kind is read once before its release goes. Finalizers, too, may hold a CRD. Helm would take over one that is going
as if it were to stay, and it would go later, under a mesh that is up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pulumi

from components.helm.retained_crds import CRDS_PATH, objects_path
from mesh.concurrency import run_concurrently
from mesh.kube import client as kube_client
from mesh.kube.json_access import mapping, mappings, text
from mesh.kube.ownership import belongs_to_release
from mesh.preflight.api import METADATA_LIST_MEDIA_TYPE, ClusterApi
from mesh.preflight.errors import ApiUnreachableError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# Seconds until the API server must have looked at all CRDs again.
CRD_DELETION_TIMEOUT_S = 330
# Seconds for all kinds of a release to be readable.
CRD_SERVED_TIMEOUT_S = 10
_MAX_CONCURRENT_READS = 5


class CrdsStuckTerminatingError(Exception):
    """CRDs of a release are being deleted, and don't go."""


def warm_crd_storage(api: ClusterApi, release: str, namespace: str) -> None:
    """Read each kind that a release has brought, as soon as it can be.

    Args:
        api: the cluster's API server.
        release: the release's name.
        namespace: where it is.

    Raises:
        preflight.api.Unseen, preflight.trouble.Unanswered, preflight.trouble.Unusable, TimeoutError: not all were read.
    """
    deadline = time.monotonic() + CRD_SERVED_TIMEOUT_S

    def read(name: str) -> None:
        crd = api.get(f"{CRDS_PATH}/{name}", f"what {name} is")
        path = objects_path(crd) if crd is not None else None
        while path is not None:
            try:
                api.get(f"{path}?limit=1", f"whether {name} can be read", METADATA_LIST_MEDIA_TYPE)
            except ApiUnreachableError:  # 429, as long as the storage isn't ready
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    listed = api.get(CRDS_PATH, "which CustomResourceDefinitions there are", METADATA_LIST_MEDIA_TYPE) or {}
    names = [text(metadata["name"]) for metadata in _release_crds(listed.get("items"), release, namespace)]
    run_concurrently(
        [partial(read, name) for name in names], patience=2 * CRD_SERVED_TIMEOUT_S, threads=_MAX_CONCURRENT_READS
    )


def wait_for_crd_deletion(client: ApiClient, cluster: str, release: str, namespace: str) -> None:
    """Return when no CRD of a release is on its way out any more; at once, in nearly all cases.

    Args:
        client: of the cluster.
        cluster: its name, for messages.
        release: the release's name.
        namespace: where it is going to be.

    Raises:
        GoingCrds: some don't go; the message says which.
        kubernetes.client.ApiException, urllib3.exceptions.HTTPError: the API server can't be asked.
    """
    deadline = time.monotonic() + CRD_DELETION_TIMEOUT_S
    said = False
    while going := _terminating_crds(client, release, namespace):
        names = ", ".join(going)
        if time.monotonic() > deadline:
            raise CrdsStuckTerminatingError(
                f"{cluster}: release {release}: CRDs still Terminating after {CRD_DELETION_TIMEOUT_S} s: {names}; "
                "find the finalizer that holds them (kubectl describe crd), then run `pulumi up` again"
            )
        if not said:
            pulumi.log.info(f"{cluster}: waiting, up to five minutes, until these deleted CRDs are gone: {names}")
            said = True
        time.sleep(1)


def _terminating_crds(client: ApiClient, release: str, namespace: str) -> list[str]:
    from kubernetes.client import ApiException

    try:
        listed = kube_client.list_objects(client, CRDS_PATH, accept=METADATA_LIST_MEDIA_TYPE)
    except ApiException as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return []  # who may not list them can still install a release that brings none
        raise
    found = _release_crds(listed, release, namespace)
    return sorted(text(metadata["name"]) for metadata in found if metadata.get("deletionTimestamp"))


def _release_crds(listed: Any, release: str, namespace: str) -> Iterator[dict[str, Any]]:
    for crd in mappings(listed):
        metadata = mapping(crd, "metadata")
        if belongs_to_release(metadata, release, namespace):
            yield metadata
