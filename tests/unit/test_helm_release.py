"""What a killed update has left of a release, and what may be done about it."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from components.helm.release import ReleaseOwnedElsewhereError, deployed_revision, failed_revision, is_stale_revision

OURS = "multicluster-mesh stack dev"


def record(status: str, description: str = OURS, revision: int = 1) -> dict[str, Any]:
    """A release's Secret as Helm writes it: JSON in gzip in base64, in the base64 of every Secret."""
    found = {"info": {"description": description, "status": status}, "manifest": f"of revision {revision}"}
    content = gzip.compress(json.dumps(found).encode())
    return {
        "metadata": {
            "name": f"sh.helm.release.v1.linkerd.v{revision}",
            "namespace": "linkerd",
            "labels": {"name": "linkerd", "status": status, "version": str(revision)},
        },
        "data": {"release": base64.b64encode(base64.b64encode(content)).decode()},
    }


def content_of(record: dict[str, Any]) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(base64.b64decode(record["data"]["release"]))))


@pytest.mark.parametrize("creating", [True, False])
@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "pending-rollback"])
def test_a_pending_record_is_always_in_the_way(status: str, creating: bool) -> None:
    assert is_stale_revision(record(status, "Initial install underway"), creating=creating, description=OURS)


def test_a_finished_record_of_ours_is_in_the_way_of_a_new_release_and_not_of_an_update() -> None:
    assert is_stale_revision(record("deployed", OURS), creating=True, description=OURS)
    assert is_stale_revision(record("superseded", OURS), creating=True, description=OURS)
    assert not is_stale_revision(record("deployed", OURS), creating=False, description=OURS)


def test_a_release_that_failed_before_pulumi_could_write_it_down_is_made_anew() -> None:
    assert is_stale_revision(
        record("failed", "Release failed: context deadline exceeded"), creating=True, description=OURS
    )


@pytest.mark.parametrize("description", ["Install complete", "multicluster-mesh stack prod", ""])
def test_a_release_of_somebody_else_is_never_touched(description: str) -> None:
    with pytest.raises(ReleaseOwnedElsewhereError, match="release linkerd in namespace linkerd exists already"):
        is_stale_revision(record("deployed", description), creating=True, description=OURS)
    assert not is_stale_revision(record("deployed", description), creating=False, description=OURS)


def test_a_release_whose_uninstalling_was_killed_is_in_the_way_of_an_update() -> None:
    assert is_stale_revision(record("uninstalling"), creating=False, description=OURS)


@pytest.mark.parametrize("status", ["deployed", "failed", "superseded"])
def test_helm_can_upgrade_from_what_was_deployed_or_failed(status: str) -> None:
    assert failed_revision([record(status), record("pending-upgrade", revision=2)], "linkerd", "linkerd") is None


@pytest.mark.parametrize("status", ["pending-install", "uninstalling"])
def test_an_installation_without_an_end_counts_as_failed_before_an_update(status: str) -> None:
    found = failed_revision([record("pending-install"), record(status, revision=2)], "linkerd", "linkerd")

    assert found is not None
    assert found["metadata"]["name"] == "sh.helm.release.v1.linkerd.v2"
    assert found["metadata"]["labels"] == {"name": "linkerd", "owner": "helm", "status": "failed", "version": "2"}
    content = content_of(found)
    assert content["info"]["status"] == "failed"
    assert content["manifest"] == "of revision 2", "what it may have made"


def test_a_release_whose_first_record_got_lost_counts_as_failed_before_an_update() -> None:
    found = failed_revision([], "linkerd", "linkerd")

    assert found is not None
    assert found["metadata"]["name"] == "sh.helm.release.v1.linkerd.v1"
    assert found["metadata"]["labels"]["status"] == "failed"


@pytest.mark.parametrize("status", ["pending-install", "uninstalling"])
def test_a_release_that_is_there_is_recorded_as_this_stack_s(status: str) -> None:
    found = deployed_revision(record(status, "as Helm describes it"), description=OURS)

    assert found["metadata"]["name"] == "sh.helm.release.v1.linkerd.v1"
    assert found["metadata"]["labels"] == {"name": "linkerd", "status": "deployed", "version": "1"}
    info = {"description": OURS, "status": "deployed", "deleted": ""}
    assert content_of(found) == {"info": info, "manifest": "of revision 1"}
    assert is_stale_revision(found, creating=True, description=OURS), "it is this stack's to make way"
