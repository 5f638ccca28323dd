"""Wait until Services can answer requests."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from mesh.readiness import usable_services
from mesh.readiness.usable_services import RequiredService, ServicesNotUsableError, find_fault, wait_for_usable_services
from tests.helpers.fake_api_server import build_kube_client
from tests.helpers.watchable_api_server import WatchableApiServer, serve_watches

SERVICES_PATH = "/api/v1/namespaces/test/services"
SLICES_PATH = "/apis/discovery.k8s.io/v1/namespaces/test/endpointslices"
MIRROR = RequiredService(namespace="test", name="podinfo-east", origin="created by the service mirror for east")
MEMBER = RequiredService(namespace="test", name="till-federated", origin="x", member=("till", "east"))


def build_service(name: str = "podinfo-east", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "test", **metadata}}


def build_slice(*conditions: Any, service: str = "podinfo-east") -> dict[str, Any]:
    metadata = {"name": f"{service}-1", "namespace": "test", "labels": {"kubernetes.io/service-name": service}}
    return {"metadata": metadata, "endpoints": [{"conditions": each} for each in conditions]}


def by_name(*objects: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in objects}


@pytest.mark.parametrize(
    ("services", "slices", "fault"),
    [
        ([], [], "does not exist"),
        ([build_service()], [], "has no ready endpoint"),
        ([build_service()], [build_slice({"ready": False})], "has no ready endpoint"),
        ([build_service()], [build_slice({"ready": True}, service="podinfo")], "has no ready endpoint"),
        ([build_service()], [build_slice({"ready": False}, {"ready": True})], None),
        ([build_service()], [build_slice(None)], None),
        ([build_service(labels={"multicluster.linkerd.io/remote-discovery": "east"})], [], None),
    ],
    ids=["absent", "no-slice", "not-ready", "of-another-service", "one-ready", "unknown-condition", "remote-discovery"],
)
def test_service_is_usable_with_a_ready_endpoint(
    services: list[dict[str, Any]], slices: list[dict[str, Any]], fault: str | None
) -> None:
    assert find_fault(MIRROR, by_name(*services), by_name(*slices)) == fault


@pytest.mark.parametrize(
    ("members", "fault"),
    [("till@north", "does not have till of east as a member"), ("till@north,till@east", None)],
)
def test_federated_service_is_usable_with_its_member(members: str, fault: str | None) -> None:
    annotations = {"multicluster.linkerd.io/remote-discovery": members}

    live = by_name(build_service("till-federated", annotations=annotations))

    assert find_fault(MEMBER, live, {}) == fault


def wait(api_server: WatchableApiServer, timeout_s: float = 10.0, began: float | None = None) -> list[str]:
    statuses: list[str] = []
    wait_for_usable_services(
        build_kube_client(api_server.server),
        [MIRROR],
        subject="west: west-test-podinfo-split",
        began=time.monotonic() if began is None else began,
        timeout_s=timeout_s,
        limit="clusters.west.timeouts.ready",
        report=statuses.append,
    )
    return statuses


def test_wait_ends_with_the_first_ready_endpoint() -> None:
    api_server = WatchableApiServer()
    ready_at: list[float] = []

    def mirror() -> None:
        api_server.put(SERVICES_PATH, build_service())
        time.sleep(0.05)
        ready_at.append(time.monotonic())
        api_server.put(SLICES_PATH, build_slice({"ready": True}))

    with serve_watches(api_server):
        timer = threading.Timer(0.1, mirror)
        timer.start()
        wait(api_server)
        ended = time.monotonic()
        timer.join()

    assert ready_at and 0 <= ended - ready_at[0] < 0.5


def test_usable_services_are_only_listed() -> None:
    api_server = WatchableApiServer()
    api_server.put(SERVICES_PATH, build_service())
    api_server.put(SLICES_PATH, build_slice({"ready": True}))

    with serve_watches(api_server):
        wait(api_server)

    assert [each for each in api_server.requests if not each.endswith("?watch")] == [SERVICES_PATH, SLICES_PATH]


def test_unusable_service_is_named_with_reason_and_remedy() -> None:
    with serve_watches(WatchableApiServer()) as api_server, pytest.raises(ServicesNotUsableError) as error:
        wait(api_server, timeout_s=0.1)

    assert str(error.value).splitlines() == [
        "west: west-test-podinfo-split: requests would fail, after 0.1 s of waiting:",
        "  Service test/podinfo-east: does not exist (created by the service mirror for east)",
        "run `pulumi up` again, which waits again and upgrades nothing; "
        "clusters.west.timeouts.ready sets the time limit",
    ]


def test_status_names_the_missing_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usable_services, "FIRST_REPORT_S", 0.0)
    api_server, statuses = WatchableApiServer(), []
    timer = threading.Timer(0.1, api_server.put, (SLICES_PATH, build_slice({"ready": True})))

    with serve_watches(api_server):
        timer.start()
        threading.Timer(0.2, api_server.put, (SERVICES_PATH, build_service())).start()
        statuses = wait(api_server)

    assert statuses == [
        "west: west-test-podinfo-split: waiting for Service test/podinfo-east: does not exist "
        "(created by the service mirror for east)"
    ]


@pytest.mark.parametrize("status", [401, 403])
def test_refused_list_ends_the_wait(status: int) -> None:
    api_server = WatchableApiServer()
    api_server.statuses[SERVICES_PATH] = status

    with serve_watches(api_server), pytest.raises(ServicesNotUsableError, match="let the cluster's user list"):
        wait(api_server)
