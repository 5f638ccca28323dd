"""Exposure of a cluster's gateway to other clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mesh.config.models.stack_file import GatewayConfig


@dataclass(frozen=True, kw_only=True)
class GatewayExposure:
    """Exposure of one gateway: the type of its Service and the addresses at which sources reach it."""

    service_type: Literal["LoadBalancer", "NodePort", "ClusterIP"] | None  # None: the cluster has no gateway
    has_load_balancer: bool  # from the stack file: whether LoadBalancer Services of the cluster get an address
    addresses: tuple[str, ...] = ()  # used in place of the Service's address

    @property
    def is_address_awaited(self) -> bool:
        """Return whether `up` waits for the Service's address, and links use it."""
        return self.service_type == "LoadBalancer" and self.has_load_balancer and not self.addresses

    @property
    def is_reachable(self) -> bool:
        """Return whether other clusters can reach the gateway."""
        return self.is_address_awaited or bool(self.service_type and self.addresses)


def resolve_gateway_exposure(gateway: GatewayConfig) -> GatewayExposure:
    """Return how a cluster's gateway is exposed."""
    balancer = gateway.load_balancer
    service_type: Literal["LoadBalancer", "NodePort", "ClusterIP"] | None = "ClusterIP"
    if not gateway.enabled:
        service_type = None
    elif gateway.node_port is not None:
        service_type = "NodePort"
    elif balancer.enabled:
        service_type = "LoadBalancer"
    return GatewayExposure(
        service_type=service_type,
        has_load_balancer=balancer.enabled and balancer.await_address and gateway.node_port is None,
        addresses=tuple(gateway.addresses),
    )
