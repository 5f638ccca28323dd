"""What of a cluster's gateway its own chart and the links to it must agree on: its ports, its probe, its identity."""

from __future__ import annotations

from typing import Any

from mesh import config

MULTICLUSTER_NAMESPACE = "linkerd-multicluster"
GATEWAY_SERVICE = "linkerd-gateway"
# The chart's own values for what links are about.
_CHART_DEFAULTS = {"port": 4143, "probe": {"path": "/ready", "port": 4191, "seconds": 3}}


def gateway_values(target: config.ClusterSettings) -> dict[str, Any]:
    """The chart's values for what links are about, with what the stack file says of them.

    Args:
        target: the gateway's cluster.
    """
    said = target.values("linkerd-multicluster").get("gateway")
    found: dict[str, Any] = config.merge_values(_CHART_DEFAULTS, said if isinstance(said, dict) else {})
    return found


def gateway_ports(target: config.ClusterSettings) -> tuple[int, int]:
    """The ports at which peers reach a target's gateway, and its probe."""
    values, node = gateway_values(target), target.gateway.node_port
    port, probe_port = (node.port, node.probe_port) if node else (values["port"], values["probe"]["port"])
    return target.gateway.port or int(port), target.gateway.probe_port or int(probe_port)
