"""Removal of proxies when a namespace leaves the mesh, against a fake API server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from components.dynamic_providers import ProxyCleanupProvider
from components.services import namespace_membership
from mesh import workload_restart
from mesh.kube import client as kube_client
from tests.helpers.fake_api_server import build_client, serve
from tests.helpers.restartable_workloads import APPS, NAMESPACE, WorkloadServer, build_live_workload

PATH = f"/api/v1/namespaces/{NAMESPACE}"
PROPS = {"cluster": "west", "context": "kind-west", "kubeconfig": "", "namespace": NAMESPACE, "fieldManager": "mesh"}


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the warnings of the provider."""
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    monkeypatch.setattr(pulumi.log, "info", lambda _: None)
    return warnings


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkloadServer]:
    """Serve a namespace with two meshed Deployments, whose new pods get no proxy."""
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    monkeypatch.setattr(workload_restart, "INJECTOR_DELAY_S", 0)
    monkeypatch.setattr(namespace_membership, "CLEANUP_TIMEOUT_S", 0.1)
    api_server = WorkloadServer(injects=False, objects={PATH: {"metadata": {"name": NAMESPACE}}})
    for name in ("api", "web"):
        api_server.add(build_live_workload("Deployment", name), proxy="containers")
    with serve(api_server):
        monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client(api_server.server))
        yield api_server


def test_deletion_removes_proxies(server: WorkloadServer, warnings: list[str]) -> None:
    ProxyCleanupProvider().delete("id", PROPS)

    assert server.restarts == ["api", "web"]
    assert warnings == []


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"annotations": {"linkerd.io/inject": "enabled"}},
        {"deletionTimestamp": "2026-11-28T00:00:00Z"},
    ],
)
def test_meshed_or_deleted_namespace_is_left_alone(
    server: WorkloadServer, warnings: list[str], metadata: dict[str, Any] | None
) -> None:
    del server.objects[PATH]
    if metadata is not None:
        server.objects[PATH] = {"metadata": metadata}

    ProxyCleanupProvider().delete("id", PROPS)

    assert (server.restarts, warnings) == ([], [])


def test_failed_restart_is_only_a_warning(server: WorkloadServer, warnings: list[str]) -> None:
    server.unready = {"api"}

    ProxyCleanupProvider().delete("id", PROPS)

    [warning] = warnings
    assert warning.startswith("west: namespace shop: Deployment api, Deployment web can still have a proxy: west: ")
    assert "`kubectl --context kind-west -n shop rollout restart deployment/api deployment/web`" in warning


def test_unreadable_workloads_are_only_a_warning(server: WorkloadServer, warnings: list[str]) -> None:
    server.statuses[f"{APPS}/deployments"] = 403

    ProxyCleanupProvider().delete("id", PROPS)

    [warning] = warnings
    assert warning.startswith("west: namespace shop: its workloads can still have a proxy: GET ")
    assert "rollout restart deployment,statefulset,daemonset`" in warning
