"""Order of the changes of an `up`: no request is lost at any moment.

Pods become ready after two seconds, so that a wrong order shows.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hack.lab.state_dir import StateDir
from tests.helpers.recorded_update import BothWays, Changes, build_workloads, update_both_ways

pytestmark = pytest.mark.lab("west", "east", minutes=1.5)

# Each namespace has one sample, which changes in one way.
EVEN_SPLIT = {"cluster": "west", "weights": {"west": 50, "east": 50}}
CHANGES: Changes = {
    "route": ("helloworld", {}, {"exported": ["east"], "splits": [{**EVEN_SPLIT, "form": "gateway-api"}]}),
    "traffic-split": ("podinfo", {}, {"exported": ["east"], "splits": [{**EVEN_SPLIT, "form": "smi"}]}),
    "new-link": (
        "podinfo",
        {},
        {"exported": ["west"], "splits": [{"cluster": "east", "weights": {"west": 1}, "form": "gateway-api"}]},
    ),
    "version": ("helloworld", {}, {"versions": {"west": "v2", "east": "v2"}}),
    "server-authorization": ("emojivoto", {}, {"policy": "server-authorization"}),
    "authorization-policy": ("podinfo", {}, {"policy": "authorization-policy"}),
    "form-of-policy": ("podinfo", {"policy": "server-authorization"}, {"policy": "authorization-policy"}),
    "clients-of-policy": (
        "podinfo",
        {"policy": "server-authorization", "policyClients": {"identities": ["*.one", "*.two"]}},
        {"policy": "server-authorization", "policyClients": {"identities": ["*.two", "*.three"]}},
    ),
    "injection": ("podinfo", {"meshed": False}, {}),
}


@pytest.fixture(scope="module")
def updates(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BothWays]:
    """Update a mesh of the last stable release, which also gets a second link."""
    before = {
        "clusters": {"west": {}, "east": {}},
        "links": [{"source": "west", "target": "east"}],
        "extensions": {"smi": True},
        "workloads": build_workloads(CHANGES, is_changed=False),
    }
    after = {
        **before,
        "links": [*before["links"], {"source": "east", "target": "west"}],
        "workloads": build_workloads(CHANGES, is_changed=True),
    }
    yield from update_both_ways(lab, tmp_path_factory.mktemp("order"), "order", before, after)


@pytest.mark.parametrize("change", CHANGES)
def test_change_loses_no_request(updates: BothWays, change: str) -> None:
    updates.there.require_no_loss(change)


@pytest.mark.parametrize("change", CHANGES)
def test_change_taken_back_loses_no_request(updates: BothWays, change: str) -> None:
    updates.back.require_no_loss(change)


def test_rest_of_mesh_loses_no_request(updates: BothWays) -> None:
    for update in (updates.there, updates.back):
        update.require_no_loss(ignored=CHANGES)
