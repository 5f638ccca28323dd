"""Access of viz to the metrics of proxies in a namespace that refuses all clients by default.

The objects are those of `linkerd viz allow-scrapes`: https://linkerd.io/2/reference/cli/viz/#allow-scrapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.services.authorization_policy import POLICY_GROUP
from components.services.mesh_namespace import MeshNamespace
from components.services.traffic_component import TrafficComponent
from components.traffic_order import restrict_after

_VIZ_NAMESPACE = "linkerd-viz"
_SERVER = "proxy-admin"
# Paths of the proxy's admin port: for Prometheus, and for the kubelet.
_PATHS: Mapping[str, tuple[str, ...]] = {"proxy-metrics": ("/metrics",), "proxy-probes": ("/live", "/ready")}


def server_spec() -> dict[str, Any]:
    """Return the spec of the Server for the admin port of all proxies."""
    return {
        "podSelector": {"matchExpressions": [{"key": "linkerd.io/control-plane-ns", "operator": "Exists"}]},
        "port": "linkerd-admin",
        "proxyProtocol": "HTTP/1",
    }


def route_spec(name: str) -> dict[str, Any]:
    """Return the spec of the route with the paths of one group of clients."""
    return {
        "parentRefs": [{"name": _SERVER, "kind": "Server", "group": POLICY_GROUP}],
        "rules": [{"matches": [{"path": {"value": path}} for path in _PATHS[name]]}],
    }


def policy_spec(route: str, authentication: Mapping[str, str]) -> dict[str, Any]:
    """Return the spec of the policy for a route."""
    return {
        "targetRef": {"group": POLICY_GROUP, "kind": "HTTPRoute", "name": route},
        "requiredAuthenticationRefs": [{**authentication, "namespace": _VIZ_NAMESPACE}],
    }


class ProxyMetricsAccess(TrafficComponent):
    """Permission for viz to read the metrics of the proxies in a namespace.

    Args:
        namespace: the namespace.
        opts: resource options.
    """

    def __init__(self, namespace: MeshNamespace, opts: pulumi.ResourceOptions | None = None) -> None:
        name = f"{namespace.cluster.name}-{namespace.name}-proxy-metrics"
        super().__init__("multicluster-mesh:index:ProxyMetricsAccess", name, namespace, opts=opts)
        self.register_outputs({})

    def create_policies(self) -> list[pulumi.Resource]:
        """Create the Server of the admin port and its permissions, and return the Server."""
        mesh_cluster = self.namespace.mesh_cluster
        viz = mesh_cluster.viz
        assert viz is not None, "only viz reads the metrics"
        # Hidden dependencies: the CRDs and their webhook, and the authentications in viz's namespace.
        depends_on = [mesh_cluster.linkerd.control_plane, viz.ready]
        clients: Mapping[str, tuple[str, Mapping[str, str]]] = {
            "proxy-metrics": ("prometheus-scrape", {"kind": "ServiceAccount", "name": "prometheus"}),
            "proxy-probes": (
                "proxy-probes",
                {"kind": "NetworkAuthentication", "group": POLICY_GROUP, "name": "kubelet"},
            ),
        }
        permissions: list[pulumi.Resource] = []
        for route, (policy, client) in clients.items():
            version = f"{POLICY_GROUP}/v1alpha1"
            permissions += [
                self.create_custom_object(f"{route}-route", version, "HTTPRoute", route, route_spec(route), depends_on),
                self.create_custom_object(
                    f"{route}-policy", version, "AuthorizationPolicy", policy, policy_spec(route, client), depends_on
                ),
            ]
        server = self.create_custom_object(
            "server",
            f"{POLICY_GROUP}/v1beta1",
            "Server",
            _SERVER,
            server_spec(),
            depends_on,
            opts=restrict_after(self.resource_name("server"), permissions),
        )
        return [server]
