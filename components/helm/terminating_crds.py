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

from components.helm.retained_crds import CRDS, objects_path
from mesh.concurrency import side_by_side
from mesh.kube import client as kube_client
from mesh.kube.json_access import mapping, mappings, text
from mesh.kube.ownership import is_of_release
from mesh.preflight.api import METADATA_LIST, Api
from mesh.preflight.errors import Unanswered

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# Seconds until the API server must have looked at all CRDs again.
GONE_WITHIN = 330
# Seconds for all kinds of a release to be readable.
READABLE_WITHIN = 10
_KINDS_AT_A_TIME = 5


class GoingCrds(Exception):
    """CRDs of a release are being deleted, and don't go."""


def read_kinds(api: Api, release: str, namespace: str) -> None:
    """Read each kind that a release has brought, as soon as it can be.

    Args:
        api: the cluster's API server.
        release: the release's name.
        namespace: where it is.

    Raises:
        preflight.api.Unseen, preflight.trouble.Unanswered, preflight.trouble.Unusable, TimeoutError: not all were read.
    """
    deadline = time.monotonic() + READABLE_WITHIN

    def read(name: str) -> None:
        crd = api.get(f"{CRDS}/{name}", f"what {name} is")
        path = objects_path(crd) if crd is not None else None
        while path is not None:
            try:
                api.get(f"{path}?limit=1", f"whether {name} can be read", METADATA_LIST)
            except Unanswered:  # 429, as long as the storage isn't ready
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    listed = api.get(CRDS, "which CustomResourceDefinitions there are", METADATA_LIST) or {}
    names = [text(metadata["name"]) for metadata in _of_release(listed.get("items"), release, namespace)]
    side_by_side([partial(read, name) for name in names], patience=2 * READABLE_WITHIN, threads=_KINDS_AT_A_TIME)


def await_end(client: ApiClient, cluster: str, release: str, namespace: str) -> None:
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
    deadline = time.monotonic() + GONE_WITHIN
    said = False
    while going := _going(client, release, namespace):
        names = ", ".join(going)
        if time.monotonic() > deadline:
            raise GoingCrds(
                f"{cluster}: CRDs of release {release} are being deleted, and still there after {GONE_WITHIN} seconds: "
                f"{names}; see what holds them (kubectl describe crd), and run `pulumi up` again"
            )
        if not said:
            pulumi.log.info(f"{cluster}: waiting, up to five minutes, until these deleted CRDs are gone: {names}")
            said = True
        time.sleep(1)


def _going(client: ApiClient, release: str, namespace: str) -> list[str]:
    from kubernetes.client import ApiException

    try:
        listed = kube_client.listed(client, CRDS, accept=METADATA_LIST)
    except ApiException as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return []  # who may not list them can still install a release that brings none
        raise
    found = _of_release(listed, release, namespace)
    return sorted(text(metadata["name"]) for metadata in found if metadata.get("deletionTimestamp"))


def _of_release(listed: Any, release: str, namespace: str) -> Iterator[dict[str, Any]]:
    for crd in mappings(listed):
        metadata = mapping(crd, "metadata")
        if is_of_release(metadata, release, namespace):
            yield metadata
