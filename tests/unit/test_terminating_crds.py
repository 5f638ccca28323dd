"""CRDs of a release: read before their deletion, and waited for before an installation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from components.dynamic_providers import ReleaseDriftProvider
from components.helm import terminating_crds
from components.helm.terminating_crds import CrdsStuckTerminatingError
from mesh.kube import client as kube_client
from mesh.kube.connection import Access
from mesh.kube.constants import CRDS_PATH
from mesh.kube.errors import ApiUnreachableError
from tests.helpers.fake_api_server import FakeApiServer, build_client, build_kube_client, serve

SERVERS, ROUTES = "/apis/example.com/v1/servers", "/apis/example.com/v1/routes"


@pytest.fixture(autouse=True)
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy API server fail at once."""
    monkeypatch.setattr("mesh.kube.client.OVERLOAD_RETRY_DELAYS_S", ())


def replace_sleep(monkeypatch: pytest.MonkeyPatch, sleep: Callable[[float], object]) -> None:
    """Replace `time.sleep` in the tested module only: other threads of this process sleep too."""
    monkeypatch.setattr(terminating_crds, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))


def crd(plural: str, release: str = "linkerd-crds", *, terminating: bool = True) -> dict[str, Any]:
    annotations = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "linkerd"}
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if terminating else {}
    versions = [{"name": "v1alpha1", "served": False}, {"name": "v1", "served": True}]
    spec = {"group": "example.com", "names": {"plural": plural}, "versions": versions}
    return {"metadata": {"name": f"{plural}.example.com", "annotations": annotations} | deleted, "spec": spec}


def add_crds(server: FakeApiServer, *crds: dict[str, Any]) -> None:
    server.objects[CRDS_PATH] = {"items": list(crds)}
    for each in crds:
        server.objects[f"{CRDS_PATH}/{each['metadata']['name']}"] = each
        server.objects[f"/apis/example.com/v1/{each['spec']['names']['plural']}"] = {"items": []}


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    with serve(FakeApiServer()) as cluster:
        yield cluster


def wait_for_deletion(server: FakeApiServer) -> None:
    terminating_crds.wait_for_crd_deletion(build_kube_client(server.server), "west", "linkerd-crds", "linkerd")


def read_crds(server: FakeApiServer) -> None:
    terminating_crds.warm_crd_storage(build_kube_client(server.server, 5), "linkerd-crds", "linkerd")


def test_only_crds_of_release_are_read(server: FakeApiServer) -> None:
    add_crds(
        server,
        crd("servers", terminating=False),
        crd("routes", terminating=False),
        crd("taps", "linkerd-viz", terminating=False),
    )

    read_crds(server)

    crds = {f"GET {CRDS_PATH}", f"GET {CRDS_PATH}/servers.example.com", f"GET {CRDS_PATH}/routes.example.com"}
    assert set(server.requests) == crds | {f"GET {SERVERS}", f"GET {ROUTES}"}


def test_crd_is_read_until_its_storage_is_ready(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    add_crds(server, crd("servers"))
    server.statuses[SERVERS] = 429
    replace_sleep(monkeypatch, lambda _: server.statuses.clear())

    read_crds(server)

    assert server.requests[-2:] == [f"GET {SERVERS}"] * 2


def test_wait_for_crd_storage_is_bounded(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    add_crds(server, crd("servers"))
    server.statuses[SERVERS] = 429
    monkeypatch.setattr(terminating_crds, "CRD_SERVED_TIMEOUT_S", 0.2)

    with pytest.raises(ApiUnreachableError):
        read_crds(server)

    assert server.requests.count(f"GET {SERVERS}") > 1


def test_deleted_or_unserved_crds_are_skipped(server: FakeApiServer) -> None:
    unserved = crd("routes")
    unserved["spec"]["versions"].pop()
    add_crds(server, crd("servers"), unserved)
    del server.objects[f"{CRDS_PATH}/servers.example.com"]

    read_crds(server)

    assert not {f"GET {SERVERS}", f"GET {ROUTES}"} & set(server.requests)


@pytest.mark.parametrize("status", [200, 403, 500])
def test_crds_are_read_before_their_release_is_deleted(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    add_crds(server, crd("servers"))
    server.statuses[SERVERS] = status
    monkeypatch.setattr(kube_client, "build_api_client", lambda _: build_client(server.server))
    monkeypatch.setattr(terminating_crds, "CRD_SERVED_TIMEOUT_S", 0.2)

    ReleaseDriftProvider().delete("", {"context": "ctx-west", "release": "linkerd-crds", "namespace": "linkerd"})

    assert f"GET {SERVERS}" in server.requests


def test_unreachable_cluster_does_not_block_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    accesses: list[Access] = []

    def fail(access: Access) -> None:
        accesses.append(access)
        raise ValueError("no such context")

    monkeypatch.setattr(kube_client, "build_api_client", fail)

    ReleaseDriftProvider().delete("", {"context": "ctx-west", "release": "linkerd-crds", "namespace": "linkerd"})

    assert accesses == [Access(context="ctx-west")]


def test_live_crds_and_those_of_others_need_no_wait(server: FakeApiServer) -> None:
    server.objects[CRDS_PATH] = {"items": [crd("servers", terminating=False), crd("routes", "linkerd-viz")]}

    wait_for_deletion(server)

    assert server.requests == [f"GET {CRDS_PATH}"]


def test_installation_waits_for_deleted_crds(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.objects[CRDS_PATH] = {"items": [crd("servers"), crd("routes", terminating=False)]}
    messages: list[str] = []
    monkeypatch.setattr("pulumi.log.info", messages.append)

    def pass_time(_: float) -> None:
        server.objects[CRDS_PATH] = {"items": [crd("routes", terminating=False)]}

    replace_sleep(monkeypatch, pass_time)

    wait_for_deletion(server)

    assert messages == ["west: waiting, up to five minutes, until these deleted CRDs are gone: servers.example.com"]
    assert server.requests == [f"GET {CRDS_PATH}"] * 2


def test_crds_stuck_terminating_are_named(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.objects[CRDS_PATH] = {"items": [crd("servers")]}
    monkeypatch.setattr(terminating_crds, "CRD_DELETION_TIMEOUT_S", -1)

    with pytest.raises(
        CrdsStuckTerminatingError,
        match=r"west: release linkerd-crds: CRDs still Terminating .*: servers\.example\.com; find the finalizer",
    ):
        wait_for_deletion(server)

    assert server.requests == [f"GET {CRDS_PATH}"]


def test_missing_list_permission_skips_wait(server: FakeApiServer) -> None:
    server.statuses[CRDS_PATH] = 403
    server.objects[CRDS_PATH] = {"items": [crd("servers")]}

    wait_for_deletion(server)

    assert server.requests == [f"GET {CRDS_PATH}"], "one request, no wait"
