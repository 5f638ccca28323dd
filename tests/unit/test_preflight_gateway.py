"""Preflight check that a LoadBalancer Service will get an address."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.preflight import Severity
from tests.helpers.fake_api_server import NODES, SERVICES, healthy_server, only_finding, run_checks_against

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def load_balancer(*, created: str = "2020-01-01T00:00:00Z", address: str | None = None) -> dict[str, Any]:
    ingress = [] if address is None else [{"ip": address}]
    return {
        "metadata": {"namespace": "web", "name": "front", "creationTimestamp": created},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": ingress}},
    }


def test_service_with_address_proves_load_balancer() -> None:
    cluster = healthy_server()
    cluster.objects[SERVICES] = {"items": [load_balancer(), load_balancer(address="192.0.2.1")]}
    cluster.objects[NODES] = {"items": []}

    assert run_checks_against(cluster) == []
    assert f"GET {NODES}" not in cluster.requests


def test_service_without_address_is_warning() -> None:
    cluster = healthy_server()
    cluster.objects[SERVICES] = {"items": [load_balancer(), load_balancer(created="nonsense")]}

    finding = only_finding(cluster)

    assert (finding.path, finding.value) == ("clusters.west.gateway.loadBalancer", "service web/front")
    assert finding.severity is Severity.WARNING
    assert "`up` waits for the gateway's address, up to clusters.west.timeouts.ready" in finding.rule


def test_new_service_without_address_is_ignored() -> None:
    cluster = healthy_server()
    cluster.objects[SERVICES] = {"items": [load_balancer(created="2999-01-01T00:00:00Z")]}

    assert run_checks_against(cluster) == []


@pytest.mark.parametrize("provider", [None, "", "kind://docker/kind/kind-control-plane"])
def test_missing_load_balancer_is_warning(provider: str | None) -> None:
    cluster = healthy_server()
    cluster.objects[NODES] = {"items": [{"spec": {"providerID": provider}}]}

    finding = only_finding(cluster)

    assert finding.severity is Severity.WARNING
    assert str(finding) == (
        "clusters.west.gateway.loadBalancer: true: no load balancer was detected, and `up` waits for the "
        "gateway's address, up to clusters.west.timeouts.ready; install a load balancer, or set "
        "clusters.west.gateway.loadBalancer: false "
        "(the cluster can then only be a link's source) or clusters.west.gateway.nodePort"
    )


@pytest.mark.parametrize("pool", ["ipaddresspools.metallb.io", "ciliumloadbalancerippools.cilium.io"])
def test_metallb_and_cilium_pools_count_as_load_balancer(pool: str) -> None:
    cluster = healthy_server()
    cluster.objects[NODES] = {"items": [{"spec": {}}]}
    cluster.objects[f"{CRDS}/{pool}"] = {"metadata": {}}

    assert run_checks_against(cluster) == []


def test_disabled_load_balancer_is_not_checked() -> None:
    cluster = healthy_server()
    cluster.objects[NODES] = {"items": []}

    assert run_checks_against(cluster, needs_load_balancer=False) == []
    assert f"GET {SERVICES}" not in cluster.requests
