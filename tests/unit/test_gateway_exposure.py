"""Exposure of a gateway: one value for validation, Helm values, the preflight and the lab."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.config.gateway_exposure import resolve_gateway_exposure
from mesh.config.models.stack_file import GatewayConfig

NODE_PORT = {"port": 30143, "probePort": 30191}


@pytest.mark.parametrize(
    ("gateway", "service_type", "waits_for_address", "is_reachable"),
    [
        ({}, "LoadBalancer", True, True),
        ({"addresses": ["192.0.2.20"]}, "LoadBalancer", False, True),
        ({"loadBalancer": {"await": False}}, "LoadBalancer", False, False),
        ({"loadBalancer": {"await": False}, "addresses": ["192.0.2.20"]}, "LoadBalancer", False, True),
        ({"nodePort": NODE_PORT}, "NodePort", False, False),
        ({"nodePort": NODE_PORT, "addresses": ["192.0.2.20"]}, "NodePort", False, True),
        ({"loadBalancer": False}, "ClusterIP", False, False),
        ({"loadBalancer": False, "addresses": ["192.0.2.20"]}, "ClusterIP", False, True),
        ({"enabled": False}, None, False, False),
    ],
    ids=[
        "awaited",
        "awaited-nowhere-with-addresses",
        "not-awaited",
        "not-awaited-with-addresses",
        "node-port",
        "node-port-with-addresses",
        "cluster-ip",
        "cluster-ip-with-addresses",
        "none",
    ],
)
def test_exposure_follows_gateway_settings(
    gateway: dict[str, Any],
    service_type: str | None,
    waits_for_address: bool,
    is_reachable: bool,
) -> None:
    exposure = resolve_gateway_exposure(GatewayConfig.model_validate(gateway))

    assert exposure.service_type == service_type
    assert exposure.is_address_awaited is waits_for_address
    assert exposure.is_reachable is is_reachable


@pytest.mark.parametrize(
    ("gateway", "has_load_balancer"),
    [
        ({}, True),
        ({"enabled": False}, True),
        ({"addresses": ["192.0.2.20"]}, True),
        ({"loadBalancer": {"await": False}}, False),
        ({"loadBalancer": False}, False),
        ({"nodePort": NODE_PORT}, False),
    ],
)
def test_cluster_has_load_balancer_unless_gateway_needs_none(gateway: dict[str, Any], has_load_balancer: bool) -> None:
    exposure = resolve_gateway_exposure(GatewayConfig.model_validate(gateway))

    assert exposure.has_load_balancer is has_load_balancer, "ingress-nginx depends on it"
