"""Federated services: their members, and how one leaves while no controller is at work."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.dynamic_providers import ExportCleanupProvider, MirrorCleanupProvider
from components.linkerd import federated_services
from components.linkerd.mirror_cleanup import CREDENTIALS_CHECKSUM_ANNOTATION, delete_mirrors, restart_controller
from components.workloads.export_cleanup import leave_federated_service
from mesh.kube import client as kube_client
from mesh.kube.client import Access
from tests.helpers.fake_api_server import Cluster, client, running

SHOP = "/api/v1/namespaces/shop/services/till-federated"
REMOTE, LOCAL = "multicluster.linkerd.io/remote-discovery", "multicluster.linkerd.io/local-discovery"


@dataclass
class Source(Cluster):
    """A cluster with federated services and mirrors, in which whatever is changed or deleted was there."""

    sent: list[Any] = field(default_factory=list)

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        self.sent.append(body)
        return super().answer(path, body) if self.asked[-1].startswith("GET") else (200, b"{}")


def federated(**annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": "till-federated", "namespace": "shop", "annotations": annotations}}


def said(remote: str = "", local: str = "") -> dict[str, str]:
    return {key: value for key, value in ((REMOTE, remote), (LOCAL, local)) if value}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (None, []),
        (said("till@east,till@north"), [("till", "east"), ("till", "north")]),
        (said("till@east", "till"), [("till", "east"), ("till", "")]),
        (said("", "till"), [("till", "")]),
        ({REMOTE: ""}, []),
    ],
)
def test_members_are_told_by_annotations(annotations: dict[str, str] | None, expected: list[tuple[str, str]]) -> None:
    assert federated_services.parse_members(annotations) == expected


@pytest.mark.parametrize(
    ("remote", "local", "target", "changed"),
    [
        ("till@east,till@north", "", "east", {REMOTE: "till@north", LOCAL: None}),
        ("till@east", "till", "east", {REMOTE: None, LOCAL: "till"}),
        ("till@east", "till", "", {REMOTE: "till@east", LOCAL: None}),
        ("till@east", "", "east", None),
        ("", "till", "", None),
    ],
)
def test_a_member_leaves_and_the_last_one_takes_the_service_along(
    remote: str, local: str, target: str, changed: dict[str, str | None] | None
) -> None:
    found = Source()

    with running(found):
        federated_services.remove_member(client(found.server), federated(**said(remote, local)), target)

    assert found.asked == [f"DELETE {SHOP}" if changed is None else f"PATCH {SHOP}"]
    assert found.sent == [None if changed is None else {"metadata": {"annotations": changed}}]


def left(monkeypatch: pytest.MonkeyPatch, found: Source, target: str, seconds: float) -> list[str]:
    with running(found):
        monkeypatch.setattr(kube_client, "api_client", lambda way: client(found.server))
        leave_federated_service(Access(context="west"), "shop", "till", target, time.monotonic() + seconds)
    return found.asked


def test_a_federated_service_that_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert left(monkeypatch, Source(), "east", 10) == [f"GET {SHOP}"]


def test_one_that_has_left_already_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert left(monkeypatch, Source(objects={SHOP: federated(**said("till@north"))}), "east", 10) == [f"GET {SHOP}"]


def test_a_member_that_no_controller_takes_out_is_taken_out_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Source(objects={SHOP: federated(**said("till@east,till@north"))})

    assert left(monkeypatch, found, "east", -1) == [f"GET {SHOP}", f"PATCH {SHOP}"]


def test_the_provider_of_a_member_tells_the_cluster_itself_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[str] = []
    members: list[str] = []

    def has_label(*asked: Any) -> bool:
        labels.append(asked[-1])
        return False

    monkeypatch.setattr("components.workloads.export_cleanup._has_label", has_label)
    monkeypatch.setattr(
        "components.workloads.export_cleanup.leave_federated_service", lambda *asked: members.append(asked[3])
    )
    props = {
        **dict.fromkeys(("targetContext", "sourceContext"), "ctx"),
        **dict.fromkeys(("targetKubeconfig", "sourceKubeconfig"), ""),
        **{"service": "till", "namespace": "shop", "target": "east", "federated": True},
    }
    made = ExportCleanupProvider().create({**props, "source": "west"})
    assert made.id == "east/shop/till/west/member"

    ExportCleanupProvider().delete(made.id, {**props, "source": "west"})
    ExportCleanupProvider().delete(made.id, {**props, "source": "east"})

    assert labels == ["mirror.linkerd.io/federated"] * 2
    assert members == ["east", ""]


MIRROR = {"metadata": {"name": "till-east", "namespace": "shop"}}
OF_EAST = "labelSelector=mirror.linkerd.io/mirrored-service%3Dtrue%2Cmirror.linkerd.io/cluster-name%3Deast"
FEDERATED = "labelSelector=mirror.linkerd.io/mirrored-service%3Dtrue%2C%21mirror.linkerd.io/cluster-name"
PODS = "/api/v1/namespaces/linkerd-multicluster/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/linkerd-multicluster/leases"


def removed(monkeypatch: pytest.MonkeyPatch, found: Source, target: str) -> list[str]:
    with running(found):
        monkeypatch.setattr("components.linkerd.mirror_cleanup.CONTROLLER_GRACE_PERIOD_S", 0)
        delete_mirrors(client(found.server), "linkerd-multicluster", target)
    return [each for each in found.asked if not each.startswith("GET")]


def empty(**objects: Any) -> Source:
    lists = (
        f"{PODS}?labelSelector=component%3Dlinkerd-service-mirror%2Cmirror.linkerd.io/cluster-name%3Deast",
        f"{PODS}?labelSelector=component%3Dlocal-service-mirror",
        f"{PODS}?labelSelector=component%3Dcontroller%2Cmirror.linkerd.io/cluster-name%3Deast",
        *(f"/api/v1/{kind}?{OF_EAST}" for kind in ("services", "endpoints")),
        f"/api/v1/services?{FEDERATED}",
    )
    return Source(objects={**{path: {"items": []} for path in lists}, **objects})


def test_a_link_that_goes_takes_its_mirrors_its_members_and_its_lease_along(monkeypatch: pytest.MonkeyPatch) -> None:
    found = empty(
        **{
            f"/api/v1/services?{OF_EAST}": {"items": [MIRROR]},
            f"/api/v1/services?{FEDERATED}": {"items": [federated(**said("till@east", "till"))]},
        }
    )

    assert removed(monkeypatch, found, "east") == [
        f"PATCH {SHOP}",
        "DELETE /api/v1/namespaces/shop/services/till-east",
        f"DELETE {LEASES}/service-mirror-write-east",
    ]


def test_a_controller_that_stays_is_given_time_and_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = f"{PODS}?labelSelector=component%3Dcontroller%2Cmirror.linkerd.io/cluster-name%3Deast"
    found = empty(**{pods: {"items": [MIRROR]}})

    removed(monkeypatch, found, "east")

    assert found.asked.count(f"GET /api/v1/services?{OF_EAST}") == 2


def test_the_extension_that_goes_takes_the_clusters_own_members_along(monkeypatch: pytest.MonkeyPatch) -> None:
    found = empty(**{f"/api/v1/services?{FEDERATED}": {"items": [federated(**said("", "till"))]}})

    assert removed(monkeypatch, found, "") == [f"DELETE {SHOP}", f"DELETE {LEASES}/local-service-mirror-write"]


def test_a_controller_is_restarted_by_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Source()) as found:
        restart_controller(client(found.server), "linkerd-multicluster", "controller-east", "abc")

    path = "/apis/apps/v1/namespaces/linkerd-multicluster/deployments/controller-east"
    assert found.asked == [f"PATCH {path}"], "one that isn't there reads them when it comes"


@pytest.mark.parametrize(
    ("olds", "news", "restarted"),
    [
        ({}, {"controller": "c", "credentialsChecksum": "1"}, False),
        ({"controller": "c", "credentialsChecksum": "1"}, {"controller": "c", "credentialsChecksum": "2"}, True),
        ({"controller": "c", "credentialsChecksum": "1"}, {"controller": "c", "credentialsChecksum": "1"}, False),
        ({}, {}, False),
    ],
)
def test_only_new_credentials_restart_a_controller(
    monkeypatch: pytest.MonkeyPatch, olds: dict[str, str], news: dict[str, str], restarted: bool
) -> None:
    done: list[Any] = []
    monkeypatch.setattr("components.linkerd.mirror_cleanup.restart_controller", lambda *what: done.append(what[1:]))
    monkeypatch.setattr(kube_client, "api_client", lambda way: way)
    props = {"source": "west", "context": "w", "kubeconfig": "", "namespace": "mc", "target": "east"}

    updated = MirrorCleanupProvider().update("west/east", {**props, **olds}, {**props, **news, "__provider": "x"})

    assert done == ([("mc", "c", "2")] if restarted else [])
    assert updated.outs == {**props, **news}
    assert CREDENTIALS_CHECKSUM_ANNOTATION.startswith("multicluster-mesh/")
    assert json.dumps(updated.outs)
