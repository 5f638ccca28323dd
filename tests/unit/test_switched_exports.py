"""Change of export labels before a change of the links to their cluster."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from components.linkerd import switched_exports
from components.linkerd.switched_exports import MirrorNotSwitchedError, switch_exports
from mesh.kube import client as kube_client
from mesh.kube.connection import Access
from mesh.traffic_changes import ExportSwitch
from tests.helpers.fake_api_server import FakeApiServer, build_client, serve
from tests.helpers.watchable_api_server import WatchableApiServer, serve_watches

SWITCH = ExportSwitch(target="east", namespace="test", service="podinfo", former="true", value="remote-discovery")
SERVICES_PATH = "/api/v1/namespaces/test/services"
SERVICE_PATH = f"{SERVICES_PATH}/podinfo"


def build_cluster(name: str) -> Any:
    settings = SimpleNamespace(adopt=False)
    identity = SimpleNamespace(field_manager="stack")
    return SimpleNamespace(name=name, access=Access(context=name), settings=settings, identity=identity)


def build_mirror(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "podinfo-east", "namespace": "test", "labels": labels}}


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchableApiServer]:
    """Serve a source and a target whose Service accepts every label."""
    monkeypatch.setattr(switched_exports, "SWITCH_TIMEOUT_S", 0.1)
    target = FakeApiServer(objects={SERVICE_PATH: {"metadata": {"name": "podinfo"}}})
    with serve(target), serve_watches(WatchableApiServer()) as west:
        servers = {"east": target.server, "west": west.server}
        monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client(servers[access.context]))
        yield west
    assert target.requests == [f"GET {SERVICE_PATH}", f"PATCH {SERVICE_PATH}"]


def switch() -> None:
    switch_exports(build_cluster("west"), build_cluster("east"), [SWITCH])


def test_switch_ends_when_mirror_has_the_mode(source: WatchableApiServer) -> None:
    source.put(SERVICES_PATH, build_mirror(**{"multicluster.linkerd.io/remote-discovery": "east"}))

    switch()


def test_source_without_mirror_needs_no_wait(source: WatchableApiServer) -> None:
    switch()

    assert source.requests == [SERVICES_PATH]


def test_mirror_that_does_not_follow_keeps_the_link(source: WatchableApiServer) -> None:
    source.put(SERVICES_PATH, build_mirror())

    with pytest.raises(MirrorNotSwitchedError, match="west: Service test/podinfo-east: does not follow the label"):
        switch()
