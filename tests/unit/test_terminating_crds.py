"""A release's CRDs: read before they are deleted, and gone before it is installed again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.dynamic_providers import ReleaseDriftProvider
from components.helm import terminating_crds
from components.helm.terminating_crds import CrdsStuckTerminatingError
from mesh.kube import client as kube_client
from mesh.kube.client import KubeClient
from mesh.kube.constants import CRDS_PATH
from mesh.kube.errors import ApiUnreachableError
from tests.helpers.fake_api_server import FakeApiServer, build_client, serve

SERVERS, ROUTES = "/apis/example.com/v1/servers", "/apis/example.com/v1/routes"


def crd(plural: str, release: str = "linkerd-crds", *, going: bool = True) -> dict[str, Any]:
    annotations = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "linkerd"}
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}
    versions = [{"name": "v1alpha1", "served": False}, {"name": "v1", "served": True}]
    spec = {"group": "example.com", "names": {"plural": plural}, "versions": versions}
    return {"metadata": {"name": f"{plural}.example.com", "annotations": annotations} | deleted, "spec": spec}


def bring(server: FakeApiServer, *crds: dict[str, Any]) -> None:
    server.objects[CRDS_PATH] = {"items": list(crds)}
    for each in crds:
        server.objects[f"{CRDS_PATH}/{each['metadata']['name']}"] = each
        server.objects[f"/apis/example.com/v1/{each['spec']['names']['plural']}"] = {"items": []}


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    with serve(FakeApiServer()) as cluster:
        yield cluster


def wait(server: FakeApiServer) -> None:
    terminating_crds.wait_for_crd_deletion(build_client(server.server), "west", "linkerd-crds", "linkerd")


def read(server: FakeApiServer) -> None:
    terminating_crds.warm_crd_storage(KubeClient(build_client(server.server), 5), "linkerd-crds", "linkerd")


def test_the_kinds_of_a_release_are_read_and_no_others(server: FakeApiServer) -> None:
    bring(server, crd("servers", going=False), crd("routes", going=False), crd("taps", "linkerd-viz", going=False))

    read(server)

    crds = {f"GET {CRDS_PATH}", f"GET {CRDS_PATH}/servers.example.com", f"GET {CRDS_PATH}/routes.example.com"}
    assert set(server.requests) == crds | {f"GET {SERVERS}", f"GET {ROUTES}"}


def test_a_kind_is_asked_for_until_its_storage_is_ready(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(server, crd("servers"))
    server.statuses[SERVERS] = 429
    monkeypatch.setattr("time.sleep", lambda _: server.statuses.clear())

    read(server)

    assert server.requests[-2:] == [f"GET {SERVERS}"] * 2


def test_a_kind_that_does_not_get_ready_is_not_asked_for_without_end(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(server, crd("servers"))
    server.statuses[SERVERS] = 429
    monkeypatch.setattr(terminating_crds, "CRD_SERVED_TIMEOUT_S", 0.2)

    with pytest.raises(ApiUnreachableError):
        read(server)


def test_a_crd_that_went_meanwhile_or_has_no_version_is_passed_over(server: FakeApiServer) -> None:
    unserved = crd("routes")
    unserved["spec"]["versions"].pop()
    bring(server, crd("servers"), unserved)
    del server.objects[f"{CRDS_PATH}/servers.example.com"]

    read(server)

    assert not {f"GET {SERVERS}", f"GET {ROUTES}"} & set(server.requests)


@pytest.mark.parametrize("status", [200, 403, 500])
def test_the_kinds_are_read_before_their_release_goes_and_nothing_depends_on_it(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    bring(server, crd("servers"))
    server.statuses[SERVERS] = status
    monkeypatch.setattr(kube_client, "api_client", lambda _: build_client(server.server))
    monkeypatch.setattr(terminating_crds, "CRD_SERVED_TIMEOUT_S", 0.2)

    ReleaseDriftProvider().delete("", {"context": "ctx-west", "release": "linkerd-crds", "namespace": "linkerd"})

    assert f"GET {SERVERS}" in server.requests


def test_a_cluster_that_is_not_there_is_not_in_the_way_of_a_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: kube_client.Access) -> None:
        raise ValueError("no such context")

    monkeypatch.setattr(kube_client, "api_client", fail)

    ReleaseDriftProvider().delete("", {"context": "ctx-west", "release": "linkerd-crds", "namespace": "linkerd"})


def test_crds_that_stay_or_are_of_another_release_are_not_waited_for(server: FakeApiServer) -> None:
    server.objects[CRDS_PATH] = {"items": [crd("servers", going=False), crd("routes", "linkerd-viz")]}

    wait(server)

    assert server.requests == [f"GET {CRDS_PATH}"]


def test_a_release_is_installed_when_its_deleted_crds_are_gone(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.objects[CRDS_PATH] = {"items": [crd("servers"), crd("routes", going=False)]}
    said: list[str] = []
    monkeypatch.setattr("pulumi.log.info", said.append)

    def pass_time(_: float) -> None:
        server.objects[CRDS_PATH] = {"items": [crd("routes", going=False)]}

    monkeypatch.setattr("time.sleep", pass_time)

    wait(server)

    assert said == ["west: waiting, up to five minutes, until these deleted CRDs are gone: servers.example.com"]
    assert server.requests == [f"GET {CRDS_PATH}"] * 2


def test_crds_that_do_not_go_are_named(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.objects[CRDS_PATH] = {"items": [crd("servers")]}
    monkeypatch.setattr(terminating_crds, "CRD_DELETION_TIMEOUT_S", -1)

    with pytest.raises(
        CrdsStuckTerminatingError,
        match=r"west: release linkerd-crds: CRDs still Terminating .*: servers\.example\.com; find the finalizer",
    ):
        wait(server)


def test_who_may_not_list_crds_does_not_wait(server: FakeApiServer) -> None:
    server.statuses[CRDS_PATH] = 403

    wait(server)
