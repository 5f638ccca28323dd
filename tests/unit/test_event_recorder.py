"""Recorder of changes: complete, in order, and with kinds that appear later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.kube.constants import CRDS_PATH
from tests.helpers import event_recorder
from tests.helpers.event_recorder import record_events
from tests.helpers.fake_api_server import build_kube_client
from tests.helpers.stack_under_test import wait_until
from tests.helpers.watchable_api_server import WatchableApiServer, serve_watches

SERVICES = "/api/v1/services"
LINKS = "/apis/multicluster.linkerd.io/v1alpha3/links"
LINKS_CRD = "links.multicluster.linkerd.io"

# Each recording waits until the clusters are quiet.
pytestmark = pytest.mark.thorough


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchableApiServer]:
    """Serve a cluster with one Service."""
    monkeypatch.setattr(event_recorder, "_QUIET_S", 0.3)
    with serve_watches(WatchableApiServer()) as api_server:
        api_server.put(SERVICES, build_object("tea"))
        yield api_server


def build_object(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "test"}, **fields}


def test_each_change_is_recorded_in_order(server: WatchableApiServer) -> None:
    with record_events({"west": build_kube_client(server.server)}) as recording:
        server.put(SERVICES, build_object("pot"))
        server.put("/api/v1/pods", build_object("pot-1"))
        server.put(SERVICES, build_object("tea", changed=True))
        server.delete(SERVICES, "pot")

    log = recording.log
    changes = [(each.operation, each.key.resource, each.key.name) for each in log.events]
    assert changes == [
        ("listed", "services", "tea"),
        ("added", "services", "pot"),
        ("added", "pods", "pot-1"),
        ("modified", "services", "tea"),
        ("deleted", "services", "pot"),
    ]
    assert [key.name for key in log.last_state()["west"]] == ["tea", "pot-1"]


def test_watch_ended_by_server_leaves_no_gap(server: WatchableApiServer) -> None:
    with record_events({"west": build_kube_client(server.server)}) as recording:
        server.break_watches()
        server.put(SERVICES, build_object("pot"))
        server.delete(SERVICES, "pot")

    assert [each.operation for each in recording.log.events] == ["listed", "added", "deleted"]


def test_kind_of_later_crd_is_recorded(server: WatchableApiServer) -> None:
    spec = {
        "group": "multicluster.linkerd.io",
        "names": {"plural": "links"},
        "versions": [{"name": "v1alpha1", "storage": False}, {"name": "v1alpha3", "storage": True}],
    }
    crd = build_object(LINKS_CRD, spec=spec, status={"conditions": [{"type": "Established", "status": "True"}]})
    with record_events({"west": build_kube_client(server.server)}) as recording:
        server.put_single(f"{CRDS_PATH}/{LINKS_CRD}", crd)
        server.put(CRDS_PATH, crd)
        server.put(LINKS, build_object("east"))
        assert wait_until(lambda: f"{LINKS}?watch" in server.requests)
        server.delete(LINKS, "east")

    links = [(each.operation, each.key.name) for each in recording.log.events if each.key.resource == LINKS_CRD]
    assert links[-1:] == [("deleted", "east")]


def test_expired_watch_is_reported_as_gap(server: WatchableApiServer) -> None:
    server.expires_watches = True
    with pytest.raises(AssertionError, match="has a gap"), record_events({"west": build_kube_client(server.server)}):
        time.sleep(0.1)
