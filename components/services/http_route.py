"""Gateway API routes of a service, in the API version that the Linkerd release reads.

Follows https://linkerd.io/2/reference/httproute/, https://linkerd.io/2/reference/grpcroute/ and
https://linkerd.io/2/features/gateway-api/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pulumi

from components.services.traffic_component import TrafficComponent
from mesh.kube.ownership import GATEWAY_API_GROUP

Kind = Literal["HTTPRoute", "GRPCRoute"]

# API versions that Linkerd releases read. All of them serve the same object.
_API_VERSIONS: Mapping[Kind, Sequence[str]] = {
    "HTTPRoute": (f"{GATEWAY_API_GROUP}/v1", f"{GATEWAY_API_GROUP}/v1beta1"),
    "GRPCRoute": (f"{GATEWAY_API_GROUP}/v1", f"{GATEWAY_API_GROUP}/v1alpha2"),
}


def route_spec(service: str, port: int, rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of a route with one rule.

    Args:
        service: service that clients send requests to.
        port: port of the service.
        rule: rule of the route.
    """
    parent = {"group": "core", "kind": "Service", "name": service, "port": port}
    return {"parentRefs": [parent], "rules": [dict(rule)]}


def create_route(
    component: TrafficComponent,
    kind: Kind,
    role: str,
    name: str,
    spec: Mapping[str, Any],
    annotations: Mapping[str, str] | None = None,
    opts: pulumi.ResourceOptions | None = None,
) -> pulumi.Resource | None:
    """Create a Gateway API route if the Linkerd release supports its kind, and return it.

    Args:
        component: component of the service.
        kind: kind of the route.
        role: suffix of the resource name.
        name: name of the route.
        spec: spec of the route.
        annotations: annotations of the route.
        opts: further resource options.
    """
    linkerd_release = component.cluster.settings.linkerd_release
    api_version = linkerd_release.http_route if kind == "HTTPRoute" else linkerd_release.grpc_route
    if api_version is None:
        return None
    # Linkerd 2.13 has an HTTPRoute in an API group of its own, which is another object.
    former_api_versions = _API_VERSIONS[kind] if api_version in _API_VERSIONS[kind] else ()
    return component.create_custom_object(
        role,
        api_version,
        kind,
        name,
        spec,
        # The control plane contains the validating webhook, and is installed after the CRDs.
        depends_on=[component.namespace.mesh_cluster.linkerd.control_plane],
        annotations=annotations,
        former_api_versions=former_api_versions,
        opts=opts,
    )
