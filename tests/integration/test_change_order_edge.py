"""Order of the changes of an `up` with Linkerd's edge releases: no request is lost at any moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hack.lab.state_dir import StateDir
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES, newest_edge_release
from tests.helpers.recorded_update import BothWays, Changes, build_workloads, update_both_ways

pytestmark = [pytest.mark.lab("west", "east", minutes=1.5), REQUIRES_EDGE_RELEASES]

CHANGES: Changes = {
    "profile": ("booksapp", {}, {"profile": {"form": "gateway-api"}}),
    "failover": ("podinfo", {}, {"exported": ["east"], "failover": [{"cluster": "west", "backups": ["east"]}]}),
    "federated": ("podinfo", {"federated": ["west", "east"]}, {"exported": ["east"]}),
}


@pytest.fixture(scope="module")
def updates(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BothWays]:
    """Update a mesh of an edge release, which has routes of profiles, failover and federated services."""
    before = {
        "clusters": {
            name: {"networks": {"flat": "lan", "pods": [f"10.{number}.0.0/16"]}}
            for number, name in enumerate(("west", "east"), 1)
        },
        "links": [{"source": "west", "target": "east", "gateway": True}, {"source": "east", "target": "west"}],
        "linkerd": {"version": newest_edge_release()},
        "workloads": build_workloads(CHANGES, is_changed=False),
    }
    after = {**before, "workloads": build_workloads(CHANGES, is_changed=True)}
    # An exported service cannot become a member of a federated one in one update.
    without_member = {**CHANGES, "federated": ("podinfo", {}, {})}
    back = {**before, "workloads": build_workloads(without_member, is_changed=False)}
    yield from update_both_ways(lab, tmp_path_factory.mktemp("edge-order"), "edge-order", before, after, back)


@pytest.mark.parametrize("change", CHANGES)
def test_change_loses_no_request(updates: BothWays, change: str) -> None:
    updates.there.require_no_loss(change)


@pytest.mark.parametrize("change", CHANGES)
def test_change_taken_back_loses_no_request(updates: BothWays, change: str) -> None:
    updates.back.require_no_loss(change)


def test_member_leaves_federated_service_without_timeout(updates: BothWays) -> None:
    assert updates.there.duration_s < 20
