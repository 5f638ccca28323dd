"""Terminating CRDs of a release: faster deletion, and a wait for it before the next install.

The API server can delay the deletion of a CRD whose objects were never read. The storage is then not ready, and the
server retries up to five minutes later (https://github.com/operator-framework/operator-controller/issues/1437). So
each CRD is read once before its release is deleted. Finalizers can also hold a CRD.

Helm adopts a CRD that is Terminating as if it were to stay. The CRD would be deleted later, under a running mesh.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pulumi

from components.helm.retained_crds import objects_path
from mesh.concurrency import run_concurrently
from mesh.kube.client import METADATA_LIST_MEDIA_TYPE
from mesh.kube.constants import CRDS_PATH
from mesh.kube.errors import ApiStatusError, ApiUnreachableError
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.ownership import belongs_to_release

if TYPE_CHECKING:
    from mesh.kube.client import KubeClient

# The API server retries all pending deletions within five minutes.
CRD_DELETION_TIMEOUT_S = 330
# From the creation of a CRD until its objects can be read.
CRD_SERVED_TIMEOUT_S = 10
_MAX_CONCURRENT_READS = 5


class CrdsStuckTerminatingError(Exception):
    """CRDs of a release are still Terminating at the deadline."""


def warm_crd_storage(client: KubeClient, release: str, namespace: str) -> None:
    """Read the objects of each CRD of a release, as soon as the API server serves them.

    Args:
        client: the cluster's client.
        release: name of the release.
        namespace: namespace of the release.

    Raises:
        NotReadableError, ApiUnreachableError, BadCredentialsError, TimeoutError: not all CRDs were read.
    """
    deadline = time.monotonic() + CRD_SERVED_TIMEOUT_S

    def read(name: str) -> None:
        crd = client.get(f"{CRDS_PATH}/{name}", f"CRD {name}")
        path = objects_path(crd) if crd is not None else None
        while path is not None:
            try:
                client.get(f"{path}?limit=1", f"the objects of CRD {name}", METADATA_LIST_MEDIA_TYPE)
            except ApiUnreachableError:  # status 429 while the storage is not ready
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    crd_list = client.get(CRDS_PATH, "the CustomResourceDefinitions", METADATA_LIST_MEDIA_TYPE) or {}
    names = [as_text(metadata["name"]) for metadata in _release_crds(crd_list.get("items"), release, namespace)]
    run_concurrently(
        [partial(read, name) for name in names], idle_timeout_s=2 * CRD_SERVED_TIMEOUT_S, threads=_MAX_CONCURRENT_READS
    )


def wait_for_crd_deletion(client: KubeClient, cluster: str, release: str, namespace: str) -> None:
    """Wait until no CRD of a release is Terminating; usually return at once.

    Args:
        client: the cluster's client.
        cluster: name of the cluster, for messages.
        release: name of the release.
        namespace: namespace in which the release will be installed.

    Raises:
        CrdsStuckTerminatingError: some CRDs are not deleted in time; the message names them.
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the CRDs cannot be listed.
    """
    deadline = time.monotonic() + CRD_DELETION_TIMEOUT_S
    is_reported = False
    while terminating := _list_terminating_crds(client, release, namespace):
        names = ", ".join(terminating)
        if time.monotonic() > deadline:
            raise CrdsStuckTerminatingError(
                f"{cluster}: release {release}: CRDs still Terminating after {CRD_DELETION_TIMEOUT_S} s: {names}; "
                "find the finalizer that holds them (kubectl describe crd), then run `pulumi up` again"
            )
        if not is_reported:
            pulumi.log.info(f"{cluster}: waiting, up to five minutes, until these deleted CRDs are gone: {names}")
            is_reported = True
        time.sleep(1)


def _list_terminating_crds(client: KubeClient, release: str, namespace: str) -> list[str]:
    try:
        crd_list = client.list_objects(CRDS_PATH, accept=METADATA_LIST_MEDIA_TYPE)
    except ApiStatusError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return []  # such a user can still install a release without CRDs
        raise
    crds = _release_crds(crd_list, release, namespace)
    return sorted(as_text(metadata["name"]) for metadata in crds if metadata.get("deletionTimestamp"))


def _release_crds(crd_list: Any, release: str, namespace: str) -> Iterator[dict[str, Any]]:
    for crd in as_mappings(crd_list):
        metadata = as_mapping(crd, "metadata")
        if belongs_to_release(metadata, release, namespace):
            yield metadata
