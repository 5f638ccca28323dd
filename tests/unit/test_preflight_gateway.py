"""Preflight: whether a LoadBalancer Service would get an address."""

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


def test_an_address_that_was_given_is_enough_of_a_load_balancer() -> None:
    cluster = healthy_server()
    cluster.objects[SERVICES] = {"items": [load_balancer(), load_balancer(address="192.0.2.1")]}
    cluster.objects[NODES] = {"items": []}

    assert run_checks_against(cluster) == []
    assert f"GET {NODES}" not in cluster.requests


def test_a_service_that_waits_for_an_address_is_a_warning() -> None:
    cluster = healthy_server()
    cluster.objects[SERVICES] = {"items": [load_balancer(), load_balancer(created="nonsense")]}

    found = only_finding(cluster)

    assert (found.path, found.value) == ("clusters.west.gateway.loadBalancer", "service web/front")
    assert found.severity is Severity.WARNING
    assert "`up` waits five for the gateway's" in found.rule


def test_a_service_that_waits_since_a_moment_says_nothing() -> None:
    cluster = healthy_server()
    cluster.objects[SERVICES] = {"items": [load_balancer(created="2999-01-01T00:00:00Z")]}

    assert run_checks_against(cluster) == []


@pytest.mark.parametrize("provider", [None, "", "kind://docker/kind/kind-control-plane"])
def test_nothing_that_gives_addresses_is_a_warning(provider: str | None) -> None:
    cluster = healthy_server()
    cluster.objects[NODES] = {"items": [{"spec": {"providerID": provider}}]}

    found = only_finding(cluster)

    assert found.severity is Severity.WARNING
    assert str(found) == (
        "clusters.west.gateway.loadBalancer: true: nothing seen here gives a LoadBalancer Service an address; "
        "`up` waits five minutes for the gateway's; install one, or set clusters.west.gateway.loadBalancer: false "
        "(it can only be a link's source then) or clusters.west.gateway.nodePort"
    )


@pytest.mark.parametrize("pool", ["ipaddresspools.metallb.io", "ciliumloadbalancerippools.cilium.io"])
def test_what_gives_addresses_without_a_cloud_is_known(pool: str) -> None:
    cluster = healthy_server()
    cluster.objects[NODES] = {"items": [{"spec": {}}]}
    cluster.objects[f"{CRDS}/{pool}"] = {"metadata": {}}

    assert run_checks_against(cluster) == []


def test_no_load_balancer_is_looked_for_where_none_is_promised() -> None:
    cluster = healthy_server()
    cluster.objects[NODES] = {"items": []}

    assert run_checks_against(cluster, load_balancer=False) == []
    assert f"GET {SERVICES}" not in cluster.requests
