"""Members of federated services, and their removal while no controller is running."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.dynamic_providers import ExportCleanupProvider, MirrorCleanupProvider
from components.linkerd.controller_restart import CREDENTIALS_CHECKSUM_ANNOTATION, restart_controller
from components.linkerd.mirror_cleanup import delete_mirrors
from components.services.export_cleanup import delete_export, leave_federated_service
from mesh.kube import client as kube_client
from mesh.kube import federated_services
from mesh.kube.connection import Access
from tests.helpers.fake_api_server import FakeApiServer, build_client, build_kube_client, serve

SERVICE_PATH = "/api/v1/namespaces/shop/services/till-federated"
REMOTE, LOCAL = "multicluster.linkerd.io/remote-discovery", "multicluster.linkerd.io/local-discovery"


@dataclass
class FederatedCluster(FakeApiServer):
    """A cluster with federated services and mirrors, where every change and deletion succeeds."""

    bodies: list[Any] = field(default_factory=list)

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        self.bodies.append(body)
        return super().answer(path, body) if self.requests[-1].startswith("GET") else (200, b"{}")


def build_federated_service(**annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": "till-federated", "namespace": "shop", "annotations": annotations}}


def member_annotations(remote: str = "", local: str = "") -> dict[str, str]:
    return {key: value for key, value in ((REMOTE, remote), (LOCAL, local)) if value}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (None, []),
        (member_annotations("till@east,till@north"), [("till", "east"), ("till", "north")]),
        (member_annotations("till@east", "till"), [("till", "east"), ("till", "")]),
        (member_annotations("", "till"), [("till", "")]),
        ({REMOTE: ""}, []),
    ],
)
def test_members_are_parsed_from_annotations(
    annotations: dict[str, str] | None, expected: list[tuple[str, str]]
) -> None:
    assert federated_services.parse_members(annotations) == expected


@pytest.mark.parametrize(
    ("remote", "local", "target", "annotations"),
    [
        ("till@east,till@north", "", "east", {REMOTE: "till@north", LOCAL: None}),
        ("till@east", "till", "east", {REMOTE: None, LOCAL: "till"}),
        ("till@east", "till", "", {REMOTE: "till@east", LOCAL: None}),
        ("till@east", "", "east", None),
        ("", "till", "", None),
    ],
)
def test_federated_service_is_deleted_with_its_last_member(
    remote: str, local: str, target: str, annotations: dict[str, str | None] | None
) -> None:
    source = FederatedCluster()

    with serve(source):
        federated_services.remove_member(
            build_kube_client(source.server), build_federated_service(**member_annotations(remote, local)), target
        )

    assert source.requests == [f"DELETE {SERVICE_PATH}" if annotations is None else f"PATCH {SERVICE_PATH}"]
    assert source.bodies == [None if annotations is None else {"metadata": {"annotations": annotations}}]


def leave(monkeypatch: pytest.MonkeyPatch, source: FederatedCluster, target: str, seconds: float) -> list[str]:
    with serve(source):
        monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client(source.server))
        leave_federated_service(Access(context="west"), "shop", "till", target, time.monotonic() + seconds)
    return source.requests


def test_absent_federated_service_is_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leave(monkeypatch, FederatedCluster(), "east", 10) == [f"GET {SERVICE_PATH}"]


def test_former_member_is_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leave(
        monkeypatch,
        FederatedCluster(objects={SERVICE_PATH: build_federated_service(**member_annotations("till@north"))}),
        "east",
        10,
    ) == [f"GET {SERVICE_PATH}"]


def test_remaining_member_is_removed_after_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FederatedCluster(
        objects={SERVICE_PATH: build_federated_service(**member_annotations("till@east,till@north"))}
    )

    assert leave(monkeypatch, source, "east", -1) == [f"GET {SERVICE_PATH}", f"PATCH {SERVICE_PATH}"]


def test_provider_distinguishes_local_from_remote_members(monkeypatch: pytest.MonkeyPatch) -> None:
    members: list[str] = []
    monkeypatch.setattr("components.services.export_cleanup._read_labels", lambda *_: {})
    monkeypatch.setattr(
        "components.services.export_cleanup.leave_federated_service", lambda *args: members.append(args[3])
    )
    props = {
        **dict.fromkeys(("targetContext", "sourceContext"), "ctx"),
        **dict.fromkeys(("targetKubeconfig", "sourceKubeconfig"), ""),
        **{"service": "till", "namespace": "shop", "target": "east", "federated": True},
    }
    created = ExportCleanupProvider().create({**props, "source": "west"})
    assert created.id == "east/shop/till/west/member"

    ExportCleanupProvider().delete(created.id, {**props, "source": "west"})
    ExportCleanupProvider().delete(created.id, {**props, "source": "east"})

    assert members == ["east", ""]


def test_exported_service_leaves_federated_service_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts_s: list[float] = []
    labels = {"mirror.linkerd.io/exported": "true"}
    monkeypatch.setattr("components.services.export_cleanup._read_labels", lambda *_: labels)
    monkeypatch.setattr(
        "components.services.export_cleanup.leave_federated_service",
        lambda *args: timeouts_s.append(args[4] - time.monotonic()),
    )

    delete_export(
        {"service": "till", "namespace": "shop", "target": "east", "source": "west", "federated": True}
        | dict.fromkeys(("targetContext", "sourceContext"), "ctx"),
        time.monotonic() + 30,
    )

    assert timeouts_s[0] <= 0, "Linkerd's controller would never remove the member"


def test_member_that_joins_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FederatedCluster(
        objects={SERVICE_PATH: build_federated_service(**member_annotations("till@east,till@north"))}
    )
    source.objects[SERVICE_PATH]["metadata"]["resourceVersion"] = "7"

    leave(monkeypatch, source, "east", -1)

    assert source.bodies[-1]["metadata"]["resourceVersion"] == "7"


MIRROR = {"metadata": {"name": "till-east", "namespace": "shop"}}
MIRRORS_OF_EAST = "labelSelector=mirror.linkerd.io/mirrored-service%3Dtrue%2Cmirror.linkerd.io/cluster-name%3Deast"
FEDERATED_SERVICES = "labelSelector=mirror.linkerd.io/mirrored-service%3Dtrue%2C%21mirror.linkerd.io/cluster-name"
PODS_PATH = "/api/v1/namespaces/linkerd-multicluster/pods"
LEASES_PATH = "/apis/coordination.k8s.io/v1/namespaces/linkerd-multicluster/leases"


def delete_all_mirrors(monkeypatch: pytest.MonkeyPatch, source: FederatedCluster, target: str) -> list[str]:
    with serve(source):
        monkeypatch.setattr("components.linkerd.mirror_cleanup.CONTROLLER_GRACE_PERIOD_S", 0)
        delete_mirrors(build_kube_client(source.server), "linkerd-multicluster", target)
    return [each for each in source.requests if not each.startswith("GET")]


def build_source(**objects: Any) -> FederatedCluster:
    lists = (
        f"{PODS_PATH}?labelSelector=component%3Dlinkerd-service-mirror%2Cmirror.linkerd.io/cluster-name%3Deast",
        f"{PODS_PATH}?labelSelector=component%3Dlocal-service-mirror",
        f"{PODS_PATH}?labelSelector=component%3Dcontroller%2Cmirror.linkerd.io/cluster-name%3Deast",
        *(f"/api/v1/{kind}?{MIRRORS_OF_EAST}" for kind in ("services", "endpoints")),
        f"/api/v1/services?{FEDERATED_SERVICES}",
    )
    return FederatedCluster(objects={**{path: {"items": []} for path in lists}, **objects})


def test_deleted_link_removes_mirrors_members_and_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    source = build_source(
        **{
            f"/api/v1/services?{MIRRORS_OF_EAST}": {"items": [MIRROR]},
            f"/api/v1/services?{FEDERATED_SERVICES}": {
                "items": [build_federated_service(**member_annotations("till@east", "till"))]
            },
        }
    )

    assert delete_all_mirrors(monkeypatch, source, "east") == [
        f"PATCH {SERVICE_PATH}",
        "DELETE /api/v1/namespaces/shop/services/till-east",
        f"DELETE {LEASES_PATH}/service-mirror-write-east",
    ]


def test_mirrors_of_running_controller_are_listed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = f"{PODS_PATH}?labelSelector=component%3Dcontroller%2Cmirror.linkerd.io/cluster-name%3Deast"
    source = build_source(**{pods: {"items": [MIRROR]}})

    delete_all_mirrors(monkeypatch, source, "east")

    assert source.requests.count(f"GET /api/v1/services?{MIRRORS_OF_EAST}") == 2


def test_deleted_extension_removes_local_members(monkeypatch: pytest.MonkeyPatch) -> None:
    source = build_source(
        **{
            f"/api/v1/services?{FEDERATED_SERVICES}": {
                "items": [build_federated_service(**member_annotations("", "till"))]
            }
        }
    )

    assert delete_all_mirrors(monkeypatch, source, "") == [
        f"DELETE {SERVICE_PATH}",
        f"DELETE {LEASES_PATH}/local-service-mirror-write",
    ]


def test_controller_restart_patches_its_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(FederatedCluster()) as source:
        restart_controller(build_kube_client(source.server), "linkerd-multicluster", "controller-east", "abc")

    path = "/apis/apps/v1/namespaces/linkerd-multicluster/deployments/controller-east"
    assert source.requests == [f"PATCH {path}"], "a controller that starts later reads its credentials anyway"


@pytest.mark.parametrize(
    ("olds", "news", "is_restarted"),
    [
        ({}, {"controller": "c", "credentialsChecksum": "1"}, False),
        ({"controller": "c", "credentialsChecksum": "1"}, {"controller": "c", "credentialsChecksum": "2"}, True),
        ({"controller": "c", "credentialsChecksum": "1"}, {"controller": "c", "credentialsChecksum": "1"}, False),
        ({}, {}, False),
    ],
)
def test_only_changed_credentials_restart_controller(
    monkeypatch: pytest.MonkeyPatch, olds: dict[str, str], news: dict[str, str], is_restarted: bool
) -> None:
    restarts: list[Any] = []
    monkeypatch.setattr(
        "components.linkerd.controller_restart.restart_controller", lambda *args: restarts.append(args[1:])
    )
    monkeypatch.setattr(kube_client, "connect", lambda access: access)
    props = {"source": "west", "context": "w", "kubeconfig": "", "namespace": "mc", "target": "east"}

    updated = MirrorCleanupProvider().update("west/east", {**props, **olds}, {**props, **news, "__provider": "x"})

    assert restarts == ([("mc", "c", "2")] if is_restarted else [])
    assert updated.outs == {**props, **news}
    assert CREDENTIALS_CHECKSUM_ANNOTATION.startswith("multicluster-mesh/")
    assert json.dumps(updated.outs)
