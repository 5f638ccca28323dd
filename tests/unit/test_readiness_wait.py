"""Waits for the objects of a manifest, against a fake API server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mesh.readiness import permanent_causes, wait
from mesh.readiness.diagnosis import RemedySettings
from mesh.readiness.limits import WaitLimits
from mesh.readiness.wait import ObjectsNotReadyError, ReadinessWait
from tests.helpers.fake_api_server import build_kube_client
from tests.helpers.watchable_api_server import WatchableApiServer, serve_watches

NAMESPACE = "linkerd"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
IMAGE = "registry.example.com/web:1"
MANIFEST = [
    {"kind": "Deployment", "metadata": {"name": "web"}},
    {"kind": "Service", "metadata": {"name": "web"}, "spec": {"type": "ClusterIP"}},
    {"kind": "ConfigMap", "metadata": {"name": "web"}},
]
GATEWAY = {"kind": "Service", "metadata": {"name": "gateway"}, "spec": {"type": "LoadBalancer"}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchableApiServer]:
    """Serve an API without objects, and report early."""
    monkeypatch.setattr(wait, "FIRST_DIAGNOSIS_S", 0.05)
    monkeypatch.setattr(wait, "FIRST_REPORT_S", 0.2)
    monkeypatch.setattr(wait, "MIN_DIAGNOSIS_INTERVAL_S", 0.02)
    monkeypatch.setattr(wait, "_RETRY_DELAY_S", 0.05)
    monkeypatch.setattr(permanent_causes, "PERMANENT_CAUSE_TIMEOUT_S", 0.5)
    with serve_watches(WatchableApiServer()) as api_server:
        yield api_server


def build_deployment(*, is_ready: bool, name: str = "web") -> dict[str, Any]:
    """Return a Deployment of one pod."""
    count = 1 if is_ready else 0
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": count},
    }


def build_pod(reason: str, message: str = "") -> dict[str, Any]:
    """Return a pod of the Deployment whose container waits."""
    return {
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": NAMESPACE, "uid": "uid-pod", "labels": {"app": "web"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": IMAGE}]},
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": reason, "message": message}}}],
        },
    }


def run_wait(
    server: WatchableApiServer,
    *objects: dict[str, Any],
    timeout_s: float = 10,
    fails_early: bool = True,
    awaits_address: bool = True,
) -> list[str]:
    """Wait, and return the reported statuses."""
    statuses: list[str] = []
    ReadinessWait(
        build_kube_client(server.server),
        objects or MANIFEST,
        namespace=NAMESPACE,
        settings=RemedySettings(cluster="west", owner="linkerd-control-plane", chart="linkerd-control-plane"),
        limits=WaitLimits(timeout_s=timeout_s, fails_early=fails_early),
        awaits_address=awaits_address,
        report=statuses.append,
    ).run()
    return statuses


def fail_wait(server: WatchableApiServer, *objects: dict[str, Any], **options: Any) -> str:
    """Require that a wait fails, and return its error."""
    with pytest.raises(ObjectsNotReadyError) as error:
        run_wait(server, *objects, **options)
    return str(error.value)


def later(delay_s: float, change: Callable[..., None], *arguments: Any) -> None:
    """Call a function after a delay."""
    timer = threading.Timer(delay_s, change, arguments)
    timer.daemon = True
    timer.start()


def test_ready_objects_need_one_list_per_kind(server: WatchableApiServer) -> None:
    server.put(DEPLOYMENTS, build_deployment(is_ready=True))

    assert run_wait(server) == []
    assert server.requests == [DEPLOYMENTS], "neither the ClusterIP Service nor the ConfigMap has a readiness"


def test_wait_returns_right_after_object_is_ready(server: WatchableApiServer) -> None:
    server.put(DEPLOYMENTS, build_deployment(is_ready=False))
    later(0.15, server.put, DEPLOYMENTS, build_deployment(is_ready=True))
    began = time.monotonic()

    assert run_wait(server) == []
    assert time.monotonic() - began < 0.15 + 0.1


def test_object_that_appears_later_is_awaited(server: WatchableApiServer) -> None:
    later(0.1, server.put, DEPLOYMENTS, build_deployment(is_ready=True))

    assert run_wait(server) == []


def test_status_names_object_pod_and_reason(server: WatchableApiServer) -> None:
    server.put(DEPLOYMENTS, build_deployment(is_ready=True, name="identity"))
    server.put(DEPLOYMENTS, build_deployment(is_ready=False))
    server.put(PODS, build_pod("ContainerCreating"))
    later(0.4, server.put, PODS, build_pod("PodInitializing"))
    later(0.8, server.put, DEPLOYMENTS, build_deployment(is_ready=True))

    statuses = run_wait(server, *MANIFEST, {"kind": "Deployment", "metadata": {"name": "identity"}})

    prefix = "west: linkerd-control-plane: 1 of 2 ready; waiting for Deployment web (1 of 1 pod not ready: "
    assert statuses == [f"{prefix}container web: {reason})" for reason in ("ContainerCreating", "PodInitializing")]


@pytest.mark.thorough
def test_error_at_deadline_has_causes_and_remedies(server: WatchableApiServer) -> None:
    server.put(DEPLOYMENTS, build_deployment(is_ready=False))
    server.put(PODS, build_pod("ErrImagePull", f'failed to pull image "{IMAGE}": 503 Service Unavailable'))

    error = fail_wait(server, timeout_s=1)

    first, *lines, last = error.splitlines()
    assert first == "west: linkerd-control-plane: not ready after 1 s: 1 of 1 objects"
    assert "Deployment web in namespace linkerd: 1 of 1 pod not ready" in lines[0]
    assert "Pod web-1, container web: ErrImagePull" in lines[1]
    assert "503 Service Unavailable" in lines[1]
    assert "run `pulumi up` again" in last and "clusters.west.timeouts.ready" in last


def test_permanent_cause_ends_wait_early(server: WatchableApiServer) -> None:
    server.put(DEPLOYMENTS, build_deployment(is_ready=False))
    later(0.1, server.put, PODS, build_pod("ErrImagePull", f'"{IMAGE}": not found'))
    later(0.4, server.put, PODS, build_pod("ImagePullBackOff", f'Back-off pulling image "{IMAGE}": not found'))
    began = time.monotonic()

    error = fail_wait(server)

    assert 0.5 < time.monotonic() - began < 3
    assert "waiting does not help" in error and "`timeouts.failEarly: false`" in error


@pytest.mark.thorough
def test_permanent_cause_waits_if_configured(server: WatchableApiServer) -> None:
    server.put(DEPLOYMENTS, build_deployment(is_ready=False))
    server.put(PODS, build_pod("ErrImagePull", f'"{IMAGE}": not found'))

    assert "not ready after 1.5 s" in fail_wait(server, timeout_s=1.5, fails_early=False)


@pytest.mark.thorough
def test_cause_that_resolves_itself_does_not_end_wait(server: WatchableApiServer) -> None:
    server.put(DEPLOYMENTS, build_deployment(is_ready=False))
    server.put(PODS, build_pod("ErrImagePull", f'"{IMAGE}": not found'))
    later(0.5, server.put, PODS, build_pod("ContainerCreating"))
    later(1.2, server.put, DEPLOYMENTS, build_deployment(is_ready=True))

    assert run_wait(server)[-1].endswith("ContainerCreating)")


@pytest.mark.parametrize(("awaits_address", "succeeds"), [(True, False), (False, True)])
def test_load_balancer_is_awaited_only_if_configured(
    server: WatchableApiServer, awaits_address: bool, succeeds: bool
) -> None:
    server.put(SERVICES, {**GATEWAY, "metadata": {"name": "gateway", "namespace": NAMESPACE, "uid": "uid-gateway"}})

    if succeeds:
        assert run_wait(server, GATEWAY, awaits_address=awaits_address) == []
    else:
        assert "Service gateway" in fail_wait(server, GATEWAY, awaits_address=awaits_address, timeout_s=0.5)


def test_crds_of_others_are_not_listed(server: WatchableApiServer) -> None:
    established = {"conditions": [{"type": "Established", "status": "True"}]}
    server.put(CRDS, {"metadata": {"name": "links.example.com"}, "status": established})

    crd = {"kind": "CustomResourceDefinition", "metadata": {"name": "links.example.com"}}
    assert run_wait(server, crd) == []


@pytest.mark.thorough
def test_api_server_that_returns_does_not_end_wait(server: WatchableApiServer) -> None:
    server.put(DEPLOYMENTS, build_deployment(is_ready=False))

    def stop() -> None:
        server.statuses[""] = 503
        server.break_watches()

    def start_again() -> None:
        server.put(DEPLOYMENTS, build_deployment(is_ready=True))
        server.statuses.clear()

    later(0.1, stop)
    later(1, start_again)

    statuses = run_wait(server)

    assert any(each.startswith("west: linkerd-control-plane: the API server does not respond") for each in statuses)


@pytest.mark.thorough
def test_wait_begins_while_api_server_is_down(server: WatchableApiServer) -> None:
    server.statuses[""] = 503
    server.put(DEPLOYMENTS, build_deployment(is_ready=True))
    later(0.5, server.statuses.clear)

    assert "the API server does not respond" in run_wait(server)[0]


@pytest.mark.thorough
def test_api_server_that_stays_down_is_reported(server: WatchableApiServer) -> None:
    server.statuses[""] = 503

    error = fail_wait(server, timeout_s=0.5)

    assert error.startswith("west: linkerd-control-plane: cannot wait until its objects are ready: ")
    assert "HTTP 503" in error and "run `pulumi up` again" in error


def test_forbidden_list_ends_wait_at_once(server: WatchableApiServer) -> None:
    server.statuses[DEPLOYMENTS] = 403

    assert "let the user of clusters.west.context list and watch them" in fail_wait(server)
