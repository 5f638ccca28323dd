"""What is waited for before a release is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components import going_crds
from components.going_crds import GoingCrds
from components.kept_crds import CRDS
from tests.preflight_cluster import Cluster, client, running


def crd(name: str, release: str = "linkerd-crds", *, going: bool = True) -> dict[str, Any]:
    annotations = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "linkerd"}
    labels = {"app.kubernetes.io/managed-by": "Helm"}
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {}
    return {"metadata": {"name": name, "annotations": annotations, "labels": labels} | deleted}


@pytest.fixture
def server() -> Iterator[Cluster]:
    with running(Cluster()) as cluster:
        yield cluster


def wait(server: Cluster) -> None:
    going_crds.await_end(client(server.server), "west", "linkerd-crds", "linkerd")


def test_crds_that_stay_or_are_of_another_release_are_not_waited_for(server: Cluster) -> None:
    server.objects[CRDS] = {"items": [crd("a", going=False), crd("b", "linkerd-viz")]}

    wait(server)

    assert server.asked == [f"GET {CRDS}"]


def test_a_release_is_installed_when_its_deleted_crds_are_gone(
    server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.objects[CRDS] = {"items": [crd("a"), crd("b", going=False)]}
    said: list[str] = []
    monkeypatch.setattr("pulumi.log.info", said.append)

    def pass_time(_: float) -> None:
        server.objects[CRDS] = {"items": [crd("b", going=False)]}

    monkeypatch.setattr("time.sleep", pass_time)

    wait(server)

    assert said == ["west: waiting, up to five minutes, until the deleted a is gone"]
    assert server.asked == [f"GET {CRDS}"] * 2


def test_crds_that_do_not_go_are_named(server: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    server.objects[CRDS] = {"items": [crd("a")]}
    monkeypatch.setattr(going_crds, "GONE_WITHIN", -1)

    with pytest.raises(GoingCrds, match=r"west: CRDs of release linkerd-crds are.*: a; see what holds"):
        wait(server)


def test_who_may_not_list_crds_does_not_wait(server: Cluster) -> None:
    server.statuses[CRDS] = 403

    wait(server)
