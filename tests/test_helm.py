"""What a killed update has left of a release, and what may be done about it."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from components.helm import ForeignRelease, unfinished

OURS = "multicluster-mesh stack dev"


def record(status: str, description: str) -> dict[str, Any]:
    """A release's Secret as Helm writes it: JSON in gzip in base64, in the base64 of every Secret."""
    content = gzip.compress(json.dumps({"info": {"description": description, "status": status}}).encode())
    return {
        "metadata": {
            "name": "sh.helm.release.v1.linkerd.v1",
            "namespace": "linkerd",
            "labels": {"name": "linkerd", "status": status, "version": "1"},
        },
        "data": {"release": base64.b64encode(base64.b64encode(content)).decode()},
    }


@pytest.mark.parametrize("creating", [True, False])
@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "pending-rollback"])
def test_a_pending_record_is_always_in_the_way(status: str, creating: bool) -> None:
    assert unfinished(record(status, "Initial install underway"), creating=creating, description=OURS)


def test_a_finished_record_of_ours_is_in_the_way_of_a_new_release_and_not_of_an_update() -> None:
    assert unfinished(record("deployed", OURS), creating=True, description=OURS)
    assert unfinished(record("superseded", OURS), creating=True, description=OURS)
    assert not unfinished(record("deployed", OURS), creating=False, description=OURS)


def test_a_release_that_failed_before_pulumi_could_write_it_down_is_made_anew() -> None:
    assert unfinished(record("failed", "Release failed: context deadline exceeded"), creating=True, description=OURS)


@pytest.mark.parametrize("description", ["Install complete", "multicluster-mesh stack prod", ""])
def test_a_release_of_somebody_else_is_never_touched(description: str) -> None:
    with pytest.raises(ForeignRelease, match="release linkerd in namespace linkerd exists already"):
        unfinished(record("deployed", description), creating=True, description=OURS)
    assert not unfinished(record("deployed", description), creating=False, description=OURS)
