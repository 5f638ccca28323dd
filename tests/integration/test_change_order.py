"""Order of the changes of an `up`: no request is lost at any moment.

Pods become ready after two seconds, so that a wrong order shows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from hack.lab.state_dir import StateDir
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES, newest_edge_release
from tests.helpers.recorded_update import RecordedUpdate, accesses, record_up
from tests.helpers.slow_pods import slow_pods
from tests.helpers.stack_under_test import StackUnderTest, deploy

pytestmark = pytest.mark.lab("west", "east", minutes=1.5)

# Each namespace has one sample, which changes in one way.
EVEN_SPLIT = {"cluster": "west", "weights": {"west": 50, "east": 50}}
SAMPLES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
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
    "injection": ("podinfo", {"meshed": False}, {}),
}
EDGE_SAMPLES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "profile": ("booksapp", {}, {"profile": {"form": "gateway-api"}}),
    "failover": ("podinfo", {}, {"exported": ["east"], "failover": [{"cluster": "west", "backups": ["east"]}]}),
    "federated": ("podinfo", {"federated": ["west", "east"]}, {"exported": ["west", "east"]}),
}


@dataclass(frozen=True, kw_only=True)
class BothWays:
    """An update that makes all changes, and one that takes them back."""

    there: RecordedUpdate
    back: RecordedUpdate


def build_workloads(samples: dict[str, tuple[str, dict[str, Any], dict[str, Any]]], state: int) -> list[Any]:
    """Return the samples before (0) or after (1) their change."""
    return [{sample: {"namespace": namespace, **states[state]}} for namespace, (sample, *states) in samples.items()]


def update_both_ways(lab: StateDir, folder: Any, name: str, before: Any, after: Any) -> Iterator[BothWays]:
    """Deploy a stack, record the update to another configuration and the way back, and destroy the stack."""
    namespaces = [next(iter(each.values()))["namespace"] for each in before["workloads"]]
    clusters = accesses(StackUnderTest(lab, folder, name, before)).values()
    with slow_pods(clusters, namespaces), deploy(lab, folder, name, copy.deepcopy(before)) as lab_stack:
        yield BothWays(there=record_up(lab_stack, after), back=record_up(lab_stack, before))


@pytest.fixture(scope="module")
def updates(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BothWays]:
    """Update a mesh of the last stable release, which also gets a second link."""
    before = {
        "clusters": {"west": {}, "east": {}},
        "links": [{"source": "west", "target": "east"}],
        "extensions": {"smi": True},
        "workloads": build_workloads(SAMPLES, 0),
    }
    after = {
        **before,
        "links": [*before["links"], {"source": "east", "target": "west"}],
        "workloads": build_workloads(SAMPLES, 1),
    }
    yield from update_both_ways(lab, tmp_path_factory.mktemp("order"), "order", before, after)


@pytest.mark.parametrize("change", SAMPLES)
def test_change_loses_no_request(updates: BothWays, change: str) -> None:
    updates.there.require_no_loss(change)


@pytest.mark.parametrize("change", SAMPLES)
def test_change_taken_back_loses_no_request(updates: BothWays, change: str) -> None:
    updates.back.require_no_loss(change)


def test_rest_of_mesh_loses_no_request(updates: BothWays) -> None:
    for update in (updates.there, updates.back):
        update.require_no_loss(ignored=SAMPLES)


@pytest.fixture(scope="module")
def edge_updates(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BothWays]:
    """Update a mesh of an edge release, which has routes of profiles, failover and federated services."""
    before = {
        "clusters": {
            name: {"networks": {"flat": "lan", "pods": [f"10.{number}.0.0/16"]}}
            for number, name in enumerate(("west", "east"), 1)
        },
        "topology": "full-mesh",
        "linkerd": {"version": newest_edge_release()},
        "workloads": build_workloads(EDGE_SAMPLES, 0),
    }
    after = {**before, "workloads": build_workloads(EDGE_SAMPLES, 1)}
    yield from update_both_ways(lab, tmp_path_factory.mktemp("edge-order"), "edge-order", before, after)


@REQUIRES_EDGE_RELEASES
@pytest.mark.parametrize("change", EDGE_SAMPLES)
def test_change_on_edge_release_loses_no_request(edge_updates: BothWays, change: str) -> None:
    edge_updates.there.require_no_loss(change)


@REQUIRES_EDGE_RELEASES
@pytest.mark.parametrize("change", EDGE_SAMPLES)
def test_change_taken_back_on_edge_release_loses_no_request(edge_updates: BothWays, change: str) -> None:
    edge_updates.back.require_no_loss(change)


@REQUIRES_EDGE_RELEASES
def test_member_leaves_federated_service_without_timeout(edge_updates: BothWays) -> None:
    assert edge_updates.there.duration_s < 20
