"""Recovery of Helm releases after a killed update."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from components.helm.release import ReleaseOwnedElsewhereError, deployed_revision, failed_revision, is_stale_revision

STACK_DESCRIPTION = "multicluster-mesh stack dev"


def build_revision(status: str, description: str = STACK_DESCRIPTION, number: int = 1) -> dict[str, Any]:
    """Return the Secret of a revision as Helm writes it: gzipped JSON, encoded in base64 twice."""
    content = {"info": {"description": description, "status": status}, "manifest": f"of revision {number}"}
    payload = gzip.compress(json.dumps(content).encode())
    return {
        "metadata": {
            "name": f"sh.helm.release.v1.linkerd.v{number}",
            "namespace": "linkerd",
            "labels": {"name": "linkerd", "status": status, "version": str(number)},
        },
        "data": {"release": base64.b64encode(base64.b64encode(payload)).decode()},
    }


def decode_content(secret: dict[str, Any]) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))


@pytest.mark.parametrize("is_create", [True, False])
@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "pending-rollback"])
def test_pending_revision_is_always_stale(status: str, is_create: bool) -> None:
    assert is_stale_revision(
        build_revision(status, "Initial install underway"), is_create=is_create, description=STACK_DESCRIPTION
    )


def test_finished_revision_is_stale_only_on_create() -> None:
    assert is_stale_revision(
        build_revision("deployed", STACK_DESCRIPTION), is_create=True, description=STACK_DESCRIPTION
    )
    assert is_stale_revision(
        build_revision("superseded", STACK_DESCRIPTION), is_create=True, description=STACK_DESCRIPTION
    )
    assert not is_stale_revision(
        build_revision("deployed", STACK_DESCRIPTION), is_create=False, description=STACK_DESCRIPTION
    )


def test_failed_revision_is_stale_on_create() -> None:
    assert is_stale_revision(
        build_revision("failed", "Release failed: context deadline exceeded"),
        is_create=True,
        description=STACK_DESCRIPTION,
    )


@pytest.mark.parametrize("description", ["Install complete", "multicluster-mesh stack prod", ""])
def test_foreign_release_is_never_touched(description: str) -> None:
    with pytest.raises(ReleaseOwnedElsewhereError, match="release linkerd in namespace linkerd exists already"):
        is_stale_revision(build_revision("deployed", description), is_create=True, description=STACK_DESCRIPTION)
    assert not is_stale_revision(
        build_revision("deployed", description), is_create=False, description=STACK_DESCRIPTION
    )


def test_uninstalling_revision_is_stale_on_update() -> None:
    assert is_stale_revision(build_revision("uninstalling"), is_create=False, description=STACK_DESCRIPTION)


@pytest.mark.parametrize("status", ["deployed", "failed", "superseded"])
def test_deployed_or_failed_revision_can_be_upgraded(status: str) -> None:
    assert (
        failed_revision([build_revision(status), build_revision("pending-upgrade", number=2)], "linkerd", "linkerd")
        is None
    )


@pytest.mark.parametrize("status", ["pending-install", "uninstalling"])
def test_interrupted_installation_counts_as_failed_on_update(status: str) -> None:
    secret = failed_revision(
        [build_revision("pending-install"), build_revision(status, number=2)], "linkerd", "linkerd"
    )

    assert secret is not None
    assert secret["metadata"]["name"] == "sh.helm.release.v1.linkerd.v2"
    assert secret["metadata"]["labels"] == {"name": "linkerd", "owner": "helm", "status": "failed", "version": "2"}
    content = decode_content(secret)
    assert content["info"]["status"] == "failed"
    assert content["manifest"] == "of revision 2", "the interrupted installation may have created these objects"


def test_missing_revision_counts_as_failed_on_update() -> None:
    secret = failed_revision([], "linkerd", "linkerd")

    assert secret is not None
    assert secret["metadata"]["name"] == "sh.helm.release.v1.linkerd.v1"
    assert secret["metadata"]["labels"]["status"] == "failed"


@pytest.mark.parametrize("status", ["pending-install", "uninstalling"])
def test_deployed_revision_is_marked_as_owned_by_stack(status: str) -> None:
    secret = deployed_revision(build_revision(status, "as Helm describes it"), description=STACK_DESCRIPTION)

    assert secret["metadata"]["name"] == "sh.helm.release.v1.linkerd.v1"
    assert secret["metadata"]["labels"] == {"name": "linkerd", "status": "deployed", "version": "1"}
    info = {"description": STACK_DESCRIPTION, "status": "deployed", "deleted": ""}
    assert decode_content(secret) == {"info": info, "manifest": "of revision 1"}
    assert is_stale_revision(secret, is_create=True, description=STACK_DESCRIPTION), "the stack must own this revision"
