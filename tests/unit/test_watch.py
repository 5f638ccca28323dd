"""Watches of collections: changes arrive at once, and faults of the API server lose none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mesh.kube import watch
from mesh.kube.errors import ApiStatusError
from mesh.kube.watch import Collection, Watches, wait_until
from tests.helpers.fake_api_server import build_kube_client
from tests.helpers.watchable_api_server import WatchableApiServer, serve_watches

PODS = "/api/v1/namespaces/test/pods"


@pytest.fixture
def server() -> Iterator[WatchableApiServer]:
    """Serve a collection with one pod."""
    with serve_watches(WatchableApiServer()) as api_server:
        api_server.put(PODS, build_pod("first"))
        yield api_server


def build_pod(name: str, **labels: str) -> dict[str, Any]:
    """Return a pod."""
    return {"metadata": {"name": name, "namespace": "test", "labels": labels}}


def wait_for_names(server: WatchableApiServer, *names: str, timeout_s: float = 10) -> bool:
    """Return whether the watched pods get these names in time."""

    def is_complete(objects: Mapping[tuple[str, str], Any]) -> bool:
        return {name for _, name in objects} == set(names)

    return wait_until(build_kube_client(server.server), Collection(path=PODS), is_complete, timeout_s=timeout_s)


def change_later(server: WatchableApiServer, delay_s: float, *names: str) -> None:
    """Create pods after a delay."""

    def change() -> None:
        time.sleep(delay_s)
        for name in names:
            server.put(PODS, build_pod(name))

    threading.Thread(target=change, daemon=True).start()


def test_complete_list_needs_no_watch(server: WatchableApiServer) -> None:
    assert wait_for_names(server, "first")

    assert server.requests == [PODS]


def test_wait_ends_right_after_last_event(server: WatchableApiServer) -> None:
    began = time.monotonic()
    change_later(server, 0.3, "second")

    assert wait_for_names(server, "first", "second")

    assert time.monotonic() - began < 0.3 + 0.1
    assert server.requests == [PODS, f"{PODS}?watch"]


def test_wait_closes_its_connection(server: WatchableApiServer) -> None:
    change_later(server, 0.1, "second")
    assert wait_for_names(server, "first", "second")

    server.put(PODS, build_pod("third"))  # the server notices a closed connection when it writes
    deadline = time.monotonic() + 20
    while server.open_watches and time.monotonic() < deadline:
        server.put(PODS, build_pod("third"))
        time.sleep(0.05)
    assert server.open_watches == 0
    assert not [each for each in threading.enumerate() if each.name.startswith("watch ")]


def test_deleted_object_is_noticed(server: WatchableApiServer) -> None:
    threading.Timer(0.2, server.delete, (PODS, "first")).start()

    assert wait_for_names(server)


def test_wait_ends_at_its_deadline(server: WatchableApiServer) -> None:
    began = time.monotonic()

    assert not wait_for_names(server, "second", timeout_s=0.3)
    assert time.monotonic() - began < 1


@pytest.mark.thorough
@pytest.mark.parametrize("lifetime_s", [0.0, 0.2])
def test_watch_that_server_ends_is_repeated(server: WatchableApiServer, lifetime_s: float) -> None:
    server.watch_lifetime_s = lifetime_s
    change_later(server, 0.7, "second")

    assert wait_for_names(server, "first", "second")


def test_expired_watch_lists_again(server: WatchableApiServer) -> None:
    server.expires_watches = True
    change_later(server, 0.3, "second")

    assert wait_for_names(server, "first", "second")
    assert server.requests.count(PODS) > 1


@pytest.mark.thorough
def test_change_during_broken_connection_is_noticed(server: WatchableApiServer) -> None:
    def interrupt() -> None:
        time.sleep(0.2)
        server.statuses[""] = 503
        server.break_watches()
        server.put(PODS, build_pod("second"))
        time.sleep(0.5)
        server.statuses.clear()

    threading.Thread(target=interrupt, daemon=True).start()

    assert wait_for_names(server, "first", "second")


def test_failing_watch_reports_its_error(server: WatchableApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_MAX_RETRY_DELAY_S", 0.1)
    pods = Collection(path=PODS)
    with Watches(build_kube_client(server.server)) as watches:
        watches.add(pods)
        watches.start()
        server.statuses[""] = 403
        server.break_watches()
        assert watches.wait_for_change(5) == [pods]
        snapshot = watches.snapshots[pods]
        assert isinstance(snapshot.error, ApiStatusError)
        assert watch.is_refused(snapshot.error)
        assert set(snapshot.objects) == {("test", "first")}, "the last known objects"

        server.statuses.clear()
        deadline = time.monotonic() + 5
        while watches.snapshots[pods].error is not None and time.monotonic() < deadline:
            watches.wait_for_change(1)
        assert watches.snapshots[pods].error is None


def test_refused_list_is_error(server: WatchableApiServer) -> None:
    server.statuses[PODS] = 403

    with pytest.raises(ApiStatusError):
        wait_for_names(server, "first")
