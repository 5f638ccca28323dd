"""Restarts of the workloads whose pods lack the proxy that they must have, against a fake API server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mesh import workload_restart
from mesh.kube import client as kube_client
from mesh.proxied_workloads import ProxyRule, read_workloads
from mesh.readiness import wait
from mesh.readiness.limits import WaitLimits
from mesh.readiness.remedies import RemedySettings
from mesh.workload_restart import RESTARTED_AT_ANNOTATION, RestartError, WorkloadRestart
from tests.helpers.fake_api_server import build_kube_client, serve
from tests.helpers.restartable_workloads import (
    APPS,
    NAMESPACE,
    PODS,
    PROXY,
    WorkloadServer,
    build_live_workload,
    build_pod,
)

INJECT = "linkerd.io/inject"
OPAQUE_PORTS = "config.linkerd.io/opaque-ports"
MESHED = ProxyRule(is_meshed=True)
UNMESHED = ProxyRule(is_meshed=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkloadServer]:
    """Serve an empty namespace, and wait for nothing."""
    monkeypatch.setattr(workload_restart, "INJECTOR_DELAY_S", 0)
    monkeypatch.setattr(wait, "FIRST_DIAGNOSIS_S", 0.01)
    monkeypatch.setattr(wait, "FIRST_REPORT_S", 0.05)
    api_server = WorkloadServer()
    with serve(api_server):
        yield api_server


def restart(server: WorkloadServer, rule: ProxyRule, **options: Any) -> tuple[list[str], list[str]]:
    """Restart the workloads, and return the statuses and the warnings."""
    statuses: list[str] = []
    warnings: list[str] = []
    WorkloadRestart(
        build_kube_client(server.server),
        NAMESPACE,
        rule,
        settings=RemedySettings(cluster="west", owner=f"namespace {NAMESPACE}", context="kind-west"),
        limits=WaitLimits(timeout_s=0.3),
        field_manager="mesh-dev",
        report=statuses.append,
        warn=warnings.append,
        **options,
    ).run()
    return statuses, warnings


def test_workloads_restart_in_order(server: WorkloadServer) -> None:
    for kind, name in (("DaemonSet", "agent"), ("StatefulSet", "db"), ("Deployment", "web"), ("Deployment", "api")):
        server.add(build_live_workload(kind, name))

    statuses, warnings = restart(server, MESHED)

    assert server.restarts == ["api", "web", "db", "agent"]
    assert statuses == [
        "west: namespace shop: restarting Deployment api (1 of 4)",
        "west: namespace shop: restarting Deployment web (2 of 4)",
        "west: namespace shop: restarting StatefulSet db (3 of 4)",
        "west: namespace shop: restarting DaemonSet agent (4 of 4)",
    ]
    assert warnings == []
    template = server.objects[f"{APPS}/deployments/api"]["spec"]["template"]
    assert template["metadata"]["annotations"][RESTARTED_AT_ANNOTATION].endswith("Z")


@pytest.mark.parametrize("proxy", ["containers", "initContainers"])
def test_meshed_workload_keeps_its_pods(server: WorkloadServer, proxy: str) -> None:
    server.add(build_live_workload("Deployment", "web"), proxy=proxy)

    assert restart(server, MESHED) == ([], [])
    assert server.restarts == []


@pytest.mark.parametrize("proxy", ["containers", "initContainers"])
def test_workload_leaves_mesh(server: WorkloadServer, proxy: str) -> None:
    server.injects = False
    server.add(build_live_workload("Deployment", "web"), proxy=proxy)
    server.add(build_live_workload("Deployment", "plain"))

    assert restart(server, UNMESHED)[1] == []
    assert server.restarts == ["web"]


@pytest.mark.parametrize(
    ("declared", "former", "pod", "template", "restarts"),
    [
        ({OPAQUE_PORTS: "5432"}, {}, {OPAQUE_PORTS: "5432"}, {}, []),
        ({OPAQUE_PORTS: "5432"}, {}, {OPAQUE_PORTS: "3306"}, {}, ["web"]),
        ({OPAQUE_PORTS: "5432"}, {}, {}, {}, ["web"]),
        ({OPAQUE_PORTS: "5432"}, {}, {OPAQUE_PORTS: "3306"}, {OPAQUE_PORTS: "3306"}, []),
        ({}, {OPAQUE_PORTS: "5432"}, {OPAQUE_PORTS: "5432"}, {}, ["web"]),
        ({}, {OPAQUE_PORTS: "5432"}, {OPAQUE_PORTS: "3306"}, {}, []),
        ({INJECT: "enabled"}, {}, {}, {}, []),
    ],
)
def test_changed_proxy_settings_restart_workload(
    server: WorkloadServer,
    declared: dict[str, str],
    former: dict[str, str],
    pod: dict[str, str],
    template: dict[str, str],
    restarts: list[str],
) -> None:
    server.namespace_annotations = declared
    server.add(build_live_workload("Deployment", "web", annotations=template), proxy="containers", annotations=pod)

    _, warnings = restart(server, ProxyRule(is_meshed=True, annotations=declared, former_annotations=former))

    assert (server.restarts, warnings) == (restarts, [])


@pytest.mark.parametrize(
    ("rule", "kind", "options", "reason"),
    [
        (MESHED, "Deployment", {"annotations": {INJECT: "disabled"}}, f"its template has {INJECT}: disabled"),
        (MESHED, "Deployment", {"pod_spec": {"hostNetwork": True}}, "its pods use the network of their nodes"),
        (MESHED, "Deployment", {"pod_spec": {"containers": [{"name": "istio-proxy"}]}}, "the container istio-proxy"),
        (MESHED, "Deployment", {"pod_spec": {"initContainers": [{"name": "linkerd-init"}]}}, "container linkerd-init"),
        (MESHED, "Deployment", {"paused": True}, "its rollout is paused"),
        (MESHED, "DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, "its update strategy is OnDelete"),
        (MESHED, "StatefulSet", {"updateStrategy": {"rollingUpdate": {"partition": 2}}}, "has the partition 2"),
        (UNMESHED, "Deployment", {"annotations": {INJECT: "ingress"}}, f"its template has {INJECT}: ingress"),
        (UNMESHED, "Deployment", {"pod_spec": {"containers": [PROXY]}}, "contains the container linkerd-proxy"),
    ],
)
def test_workload_with_obstacle_is_reported(
    server: WorkloadServer, rule: ProxyRule, kind: str, options: dict[str, Any], reason: str
) -> None:
    server.add(build_live_workload(kind, "web", **options), proxy="" if rule.is_meshed else "containers")

    statuses, [warning] = restart(server, rule)

    assert (server.restarts, statuses) == ([], [])
    assert warning.startswith(f"west: namespace shop: {kind} web: Pod web-old has ")
    assert reason in warning


def test_manual_proxy_is_right(server: WorkloadServer) -> None:
    server.add(build_live_workload("Deployment", "web", pod_spec={"containers": [PROXY]}), proxy="containers")

    restart(server, ProxyRule(is_meshed=True, annotations={OPAQUE_PORTS: "5432"}))

    assert server.restarts == []


def test_pods_of_other_controllers_are_reported(server: WorkloadServer) -> None:
    server.add_pod(build_pod("debug"))
    server.add_pod(build_pod("import-1", {"kind": "Job", "metadata": {"name": "import", "uid": "uid-import"}}))
    server.add_pod(build_pod("done", phase="Succeeded"))
    server.add_pod(build_pod("meshed", proxy="containers"))

    _, warnings = restart(server, MESHED)

    assert warnings == [
        "west: namespace shop: Pod debug has no proxy: no controller would create it again; re-create it",
        "west: namespace shop: Pod import-1 has no proxy: Job import cannot be restarted; re-create it",
    ]


def test_pods_without_injection_are_reported_once(server: WorkloadServer) -> None:
    server.injects = False
    server.add(build_live_workload("Deployment", "web"))

    _, [warning] = restart(server, MESHED)

    assert server.restarts == ["web"]
    assert "Deployment web: Pod web-new has no proxy, although it was restarted" in warning
    assert "`kubectl --context kind-west -n shop describe deployment web`" in warning


def test_failed_restart_stops_with_diagnosis(server: WorkloadServer) -> None:
    server.unready = {"b"}
    for name in ("a", "b", "c", "d"):
        server.add(build_live_workload("Deployment", name))

    with pytest.raises(RestartError, match="west: namespace shop: not ready after") as error:
        restart(server, MESHED)

    assert server.restarts == ["a", "b"]
    assert error.value.remaining == ("Deployment b", "Deployment c", "Deployment d")
    assert "not restarted yet: Deployment c, Deployment d" in str(error.value)


def test_next_run_continues_after_failure(server: WorkloadServer) -> None:
    server.unready = {"b"}
    for name in ("a", "b", "c"):
        server.add(build_live_workload("Deployment", name))
    with pytest.raises(RestartError):
        restart(server, MESHED)
    server.objects[f"{APPS}/deployments/b"]["status"]["availableReplicas"] = 1

    restart(server, MESHED)

    assert server.restarts == ["a", "b", "c"]


def test_running_rollout_is_only_awaited(server: WorkloadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    live = build_live_workload("Deployment", "web")
    live["metadata"]["generation"] = 2
    server.add(live)

    def finish(_wait: object) -> None:
        live["status"]["observedGeneration"] = 2
        server._pods["web"][0]["spec"]["containers"].append(PROXY)

    monkeypatch.setattr(wait.ReadinessWait, "run", finish)

    statuses, _ = restart(server, MESHED)

    assert statuses == ["west: namespace shop: waiting for the rollout of Deployment web (1 of 1)"]
    assert server.restarts == []


def test_deleted_workload_is_skipped(server: WorkloadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add(build_live_workload("Deployment", "web"))
    monkeypatch.setattr(workload_restart, "read_workload", lambda *_: None)

    assert restart(server, MESHED) == ([], [])
    assert server.restarts == []


def test_deadline_ends_wait(server: WorkloadServer) -> None:
    server.unready = {"web"}
    server.add(build_live_workload("Deployment", "web"))

    with pytest.raises(RestartError, match="not ready after 0 s"):
        restart(server, MESHED, deadline=time.monotonic())


def test_pods_are_read_in_pages(server: WorkloadServer) -> None:
    first = {"metadata": {"continue": "next"}, "items": [build_pod("a"), build_pod("b")]}
    size = kube_client.PAGE_SIZE
    server.objects |= {
        f"{PODS}?limit={size}": first,
        f"{PODS}?limit={size}&continue=next": {"metadata": {}, "items": [build_pod("c")]},
    }

    workloads = read_workloads(build_kube_client(server.server), NAMESPACE)

    assert [pod.name for pod in workloads.other_pods[""]] == ["a", "b", "c"]
