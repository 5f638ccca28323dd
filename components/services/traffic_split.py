"""Splits of a service's requests: a TrafficSplit of the SMI, or Gateway API routes.

Follows https://linkerd.io/2.14/tasks/linkerd-smi/, https://github.com/servicemeshinterface/smi-spec (traffic-split),
https://linkerd.io/2/reference/httproute/ and https://linkerd.io/2/reference/grpcroute/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.services.backends import Backend, refer_to_backends
from components.services.exports import Exports
from components.services.http_route import Kind, create_route, route_spec
from components.services.traffic_component import TrafficComponent
from mesh.config.models.services import SplitForm


@dataclass(frozen=True, kw_only=True)
class RoutedPort:
    """A port of a service, and the route of its requests."""

    number: int
    kind: Kind = "HTTPRoute"
    role_suffix: str = ""  # part of resource names
    name_suffix: str = ""  # part of the names of objects


def traffic_split_spec(service: str, backends: Sequence[Backend], *, in_thousandths: bool = False) -> dict[str, Any]:
    """Return the spec of a TrafficSplit.

    Args:
        service: service that clients send requests to.
        backends: services that receive the requests.
        in_thousandths: whether weights are written as thousandths, such as 500m; only v1alpha1 supports that.
    """
    return {
        "service": service,
        "backends": [
            {"service": each.service, "weight": f"{each.weight}m" if in_thousandths else each.weight}
            for each in backends
        ],
    }


def backend_references(port: int, backends: Sequence[Backend]) -> list[dict[str, Any]]:
    """Return the weighted backends of a route.

    Args:
        port: port of the requests.
        backends: services that receive the requests.
    """
    return [{"name": each.service, "port": each.port or port, "weight": each.weight} for each in backends]


def weighted_route_spec(service: str, port: int, backends: Sequence[Backend]) -> dict[str, Any]:
    """Return the spec of an HTTPRoute or a GRPCRoute with weighted backends.

    Args:
        service: service that clients send requests to.
        port: port of the service.
        backends: services that receive the requests.
    """
    return route_spec(service, port, {"backendRefs": backend_references(port, backends)})


def split_requests(
    component: TrafficComponent,
    exports: Exports,
    role: str,
    name: str,
    *,
    form: SplitForm | None,
    service: str,
    ports: Sequence[RoutedPort],
    backends: Sequence[Backend],
    version: str = "v1alpha1",
    in_thousandths: bool = False,
) -> None:
    """Create a TrafficSplit, or a weighted route for each port.

    Args:
        component: component of the service.
        exports: registry of the Services and their mirrors.
        role: suffix of the resource name.
        name: name of the objects.
        form: `smi` or `gateway-api`; None for the cluster's default.
        service: service that clients send requests to.
        ports: ports of the service; a TrafficSplit includes all ports.
        backends: services that receive the requests.
        version: API version of a TrafficSplit.
        in_thousandths: whether weights are thousandths.
    """
    if (form or component.cluster.settings.split_form) == "smi":
        smi = component.namespace.mesh_cluster.smi
        assert smi is not None, "mesh.config requires the smi extension for a TrafficSplit"
        spec = traffic_split_spec(service, backends, in_thousandths=in_thousandths)
        # The extension installs the CRD, and converts each TrafficSplit to a ServiceProfile.
        component.create_custom_object(
            role,
            f"split.smi-spec.io/{version}",
            "TrafficSplit",
            name,
            spec,
            depends_on=[smi.ready],
            opts=refer_to_backends(component, exports, role, service, backends),
        )
        return
    for port in ports:
        port_role = f"{role}{port.role_suffix}"
        create_route(
            component,
            port.kind,
            port_role,
            f"{name}{port.name_suffix}",
            weighted_route_spec(service, port.number, backends),
            opts=refer_to_backends(component, exports, port_role, service, backends),
        )
