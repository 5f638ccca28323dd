"""Ports of a declared service that its rules apply to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mesh.config.models.services import PortConfig, PortProtocol
from mesh.service_facts import LivePort, LiveService

# Protocols that `appProtocol` of a Service names: https://kubernetes.io/docs/concepts/services-networking/service/.
_APP_PROTOCOLS: Mapping[str, PortProtocol] = {
    "http": "http",
    "grpc": "grpc",
    "kubernetes.io/h2c": "http2",
    "tcp": "tcp",
}


@dataclass(frozen=True, kw_only=True)
class ServicePort:
    """A port of a Service."""

    number: int
    target: int | str  # number or name of the pods' port
    protocol: PortProtocol


def select_ports(settings: Sequence[PortConfig], live: LiveService) -> list[ServicePort]:
    """Return the ports of a Service that its settings select: those in `ports`, or else all TCP ports.

    Args:
        settings: `ports` of the service.
        live: the Service.
    """
    selected = {port.port: port.protocol for port in settings}
    return [
        ServicePort(number=port.port, target=port.target, protocol=_find_protocol(port, selected.get(port.port)))
        for port in live.ports
        if not selected or port.port in selected
    ]


def _find_protocol(port: LivePort, selected: PortProtocol | None) -> PortProtocol:
    if selected is None or selected == "detect":
        return _APP_PROTOCOLS.get(port.app_protocol.lower(), "detect")
    return selected
