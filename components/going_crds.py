"""CRDs that were deleted with a release and are still there when it is to be installed again.

Helm would take such a CRD over as if it were to stay, and it would go minutes later, under a mesh that is up. That
takes a `destroy` soon after an `up`: a CRD that nobody has read before it is deleted may be forgotten by the API
server, which looks at all of them again every five minutes
(https://github.com/operator-framework/operator-controller/issues/1437).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pulumi

from components.kept_crds import CRDS
from marks import is_of_release
from preflight.api import METADATA_LIST, Api, Unseen
from preflight.shapes import mapping, mappings, text

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# Seconds for an answer, and until the API server must have looked at all CRDs again.
ANSWERS_WITHIN = 30
GONE_WITHIN = 330


class GoingCrds(Exception):
    """CRDs of a release are being deleted, and don't go."""


def await_end(client: ApiClient, cluster: str, release: str, namespace: str) -> None:
    """Return when no CRD of a release is on its way out any more; at once, in nearly all cases.

    Args:
        client: of the cluster.
        cluster: its name, for messages.
        release: the release's name.
        namespace: where it is going to be.

    Raises:
        GoingCrds: some don't go; the message says which.
        preflight.trouble.Unanswered, preflight.trouble.Unusable: the API server can't be asked.
    """
    api = Api(client, ANSWERS_WITHIN)
    deadline = time.monotonic() + GONE_WITHIN
    said = False
    while going := _going(api, release, namespace):
        names = ", ".join(going)
        if time.monotonic() > deadline:
            raise GoingCrds(
                f"{cluster}: CRDs of release {release} are being deleted, and still there after {GONE_WITHIN} seconds: "
                f"{names}; see what holds them (kubectl describe crd), and run `pulumi up` again"
            )
        if not said:
            pulumi.log.info(f"{cluster}: waiting, up to five minutes, until the deleted {names} is gone")
            said = True
        time.sleep(1)


def _going(api: Api, release: str, namespace: str) -> list[str]:
    try:
        listed = api.get(CRDS, "which CustomResourceDefinitions are being deleted", METADATA_LIST)
    except Unseen:
        return []  # who may not list them can still install a release that brings none
    found = [mapping(crd, "metadata") for crd in mappings(mapping(listed).get("items"))]
    return sorted(
        text(metadata.get("name"))
        for metadata in found
        if metadata.get("deletionTimestamp") and is_of_release(metadata, release, namespace)
    )
