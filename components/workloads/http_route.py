"""Routes of the Gateway API on a sample's service, in the API version that Linkerd's release reads.

Follows https://linkerd.io/2/reference/httproute/, https://linkerd.io/2/reference/grpcroute/ and
https://linkerd.io/2/features/gateway-api/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from components.workloads.manifests import SampleObjects
from components.workloads.sample_namespace import SampleNamespace
from mesh.kube.ownership import GATEWAY_API

Kind = Literal["HTTPRoute", "GRPCRoute"]

# Each API version that a release of Linkerd reads; an object has all those that are served.
_VERSIONS: Mapping[Kind, Sequence[str]] = {
    "HTTPRoute": (f"{GATEWAY_API}/v1", f"{GATEWAY_API}/v1beta1"),
    "GRPCRoute": (f"{GATEWAY_API}/v1", f"{GATEWAY_API}/v1alpha2"),
}


def route_spec(service: str, port: int, rule: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a route with one rule.

    Args:
        service: whom requests are sent to.
        port: at which port.
        rule: which requests, and what becomes of them.
    """
    parent = {"group": "core", "kind": "Service", "name": service, "port": port}
    return {"parentRefs": [parent], "rules": [dict(rule)]}


def create_route(
    objects: SampleObjects,
    place: SampleNamespace,
    kind: Kind,
    role: str,
    name: str,
    spec: Mapping[str, Any],
    annotations: Mapping[str, str] | None = None,
) -> None:
    """A route of the Gateway API, if Linkerd's release has its kind.

    Args:
        objects: makes the sample's objects.
        place: where they are.
        kind: its kind.
        role: the last part of the resource name.
        name: its name.
        spec: its spec.
        annotations: its annotations.
    """
    release = place.cluster.settings.linkerd_release
    version = release.http_route if kind == "HTTPRoute" else release.grpc_route
    if version is None:
        return
    # Linkerd 2.13 has a kind of its own, which is another object.
    once = _VERSIONS[kind] if version in _VERSIONS[kind] else ()
    # The kind comes with Linkerd's CRDs or before them, and Linkerd's webhook looks at it.
    before = [place.mesh_cluster.linkerd.control_plane]
    objects.custom(role, version, kind, name, spec, before, annotations=annotations, once=once)
