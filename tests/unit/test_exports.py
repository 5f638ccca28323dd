"""Wait for the mirrors of an export, in each source."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from components.sdk.hooks import HookStep
from components.services import exports
from mesh.kube import client as kube_client
from mesh.kube.connection import Access
from mesh.readiness.usable_services import RequiredService, ServicesNotUsableError
from tests.helpers.fake_api_server import FakeApiServer, build_client, serve

MIRROR = RequiredService(namespace="test", name="podinfo-east", origin="created by the service mirror for east")


def build_source(name: str, *, reachable: bool = True) -> Any:
    return SimpleNamespace(name=name, access=Access(context=name), settings=SimpleNamespace(reachable=reachable))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the sources that are waited for; the mirrors in those named `bad…` are never usable."""
    sources: list[str] = []

    def wait(cluster: Any, name: str, *_: Any, began: float) -> None:
        sources.append(cluster.name)
        if cluster.name.startswith("bad"):
            raise ServicesNotUsableError(f"{cluster.name}: {name}: not usable")

    monkeypatch.setattr(exports, "wait_on_cluster", wait)
    return sources


def run_wait(api_server: FakeApiServer, monkeypatch: pytest.MonkeyPatch, former: Any, *sources: Any) -> None:
    with serve(api_server):
        monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client(api_server.server))
        step = HookStep(urn="urn", inputs={}, old_outputs={"input": former} if former else {})
        mirrors = {each.name: ([MIRROR], each) for each in sources}
        exports._wait_for_mirrors("east-test-podinfo-service-mirrors", "test", mirrors, step)


run_with_namespace = partial(run_wait, FakeApiServer(objects={"/api/v1/namespaces/test": {"metadata": {}}}))


def test_only_new_mirrors_are_awaited(monkeypatch: pytest.MonkeyPatch, waits: list[str]) -> None:
    run_with_namespace(monkeypatch, {"west": ["podinfo-east"]}, build_source("west"), build_source("north"))

    assert waits == ["north"]


def test_unreachable_source_is_not_awaited(monkeypatch: pytest.MonkeyPatch, waits: list[str]) -> None:
    run_with_namespace(monkeypatch, None, build_source("west", reachable=False))

    assert waits == []


def test_source_without_namespace_is_not_awaited(monkeypatch: pytest.MonkeyPatch, waits: list[str]) -> None:
    run_wait(FakeApiServer(), monkeypatch, None, build_source("west"))

    assert waits == []


def test_mirrors_of_all_sources_are_reported(monkeypatch: pytest.MonkeyPatch, waits: list[str]) -> None:
    sources = [build_source(name) for name in ("bad-1", "west", "bad-2")]

    with pytest.raises(ServicesNotUsableError) as error:
        run_with_namespace(monkeypatch, None, *sources)

    assert str(error.value).splitlines() == [
        "bad-1: east-test-podinfo-service-mirrors: not usable",
        "bad-2: east-test-podinfo-service-mirrors: not usable",
    ]
    assert sorted(waits) == ["bad-1", "bad-2", "west"]
