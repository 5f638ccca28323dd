"""Ports, probe and identity of a gateway, which its chart and the links to it share."""

from __future__ import annotations

from typing import Any

from mesh import config
from mesh.kube import constants

MULTICLUSTER_NAMESPACE = constants.MULTICLUSTER_NAMESPACE
GATEWAY_SERVICE = "linkerd-gateway"
# Defaults of the linkerd-multicluster chart.
DEFAULT_PORT = 4143
_CHART_DEFAULTS = {"port": DEFAULT_PORT, "probe": {"path": "/ready", "port": 4191, "seconds": 3}}


def gateway_values(target: config.ClusterSettings) -> dict[str, Any]:
    """Return the port and probe values of a gateway: the chart's defaults, with the stack file's overrides.

    Args:
        target: settings of the gateway's cluster.
    """
    overrides = target.values("linkerd-multicluster").get("gateway")
    values: dict[str, Any] = config.merge_values(_CHART_DEFAULTS, overrides if isinstance(overrides, dict) else {})
    return values


def gateway_ports(target: config.ClusterSettings) -> tuple[int, int]:
    """Return the ports at which sources reach a target's gateway and its probe."""
    values, node = gateway_values(target), target.gateway.node_port
    port, probe_port = (node.port, node.probe_port) if node else (values["port"], values["probe"]["port"])
    return target.gateway.port or int(port), target.gateway.probe_port or int(probe_port)
