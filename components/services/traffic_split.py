"""Traffic splits and failover of a service: a TrafficSplit of the SMI, or Gateway API routes.

Follows https://linkerd.io/2.14/tasks/linkerd-smi/, https://github.com/servicemeshinterface/smi-spec (traffic-split),
https://linkerd.io/2/reference/httproute/, https://linkerd.io/2/reference/grpcroute/ and, for failure accrual,
https://linkerd.io/2/reference/circuit-breaking/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pulumi

from components.sdk.hooks import HookStep
from components.services.exports import Exports, mirror_origin
from components.services.http_route import create_route, route_spec
from components.services.traffic_component import TrafficComponent
from components.traffic_order import find_added_backends, refer_to
from mesh.config.models.services import FailoverConfig, SplitConfig, SplitForm

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.readiness.usable_services import RequiredService
from mesh.topology import Link

# Maximum of the Gateway API.
MAX_WEIGHT = 1_000_000
# Annotation of a Service: after seven consecutive failures, Linkerd sends a pod no requests for a while.
FAILURE_ACCRUAL_ANNOTATION: Mapping[str, str] = {"balancer.linkerd.io/failure-accrual": "consecutive"}


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A service that receives a part of the requests."""

    service: str
    port: int
    weight: int
    target: str | None = None  # cluster of the service that this one mirrors; None: the service is no mirror


def split_backends(service: str, port: int, split: SplitConfig) -> list[Backend]:
    """Return the backends of a split.

    Args:
        service: service that clients send requests to.
        port: port of the service.
        split: settings of the split; the backends of other clusters are mirror services.
    """
    return [
        Backend(service=service, port=port, weight=weight)
        if name == split.cluster
        else Backend(service=f"{service}-{name}", port=port, weight=weight, target=name)
        for name, weight in split.weights.items()
    ]


def failover_backends(service: str, port: int, failover: FailoverConfig) -> list[Backend]:
    """Return the backends of a failover, the service itself first.

    The backends of a route have no order. Linkerd chooses among the available ones at random, by weight. So the service
    has the maximum weight, and each mirror the minimum.

    Args:
        service: service that clients send requests to.
        port: port of the service.
        failover: settings of the failover.
    """
    mirrors = [Backend(service=f"{service}-{name}", port=port, weight=1, target=name) for name in failover.targets]
    return [Backend(service=service, port=port, weight=MAX_WEIGHT), *mirrors]


def failover_annotations(cluster: str, failovers: Sequence[FailoverConfig]) -> Mapping[str, str] | None:
    """Return the annotation with which failures make the service of a cluster unavailable, if it has a failover."""
    return FAILURE_ACCRUAL_ANNOTATION if any(failover.cluster == cluster for failover in failovers) else None


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


def weighted_route_spec(service: str, port: int, backends: Sequence[Backend]) -> dict[str, Any]:
    """Return the spec of an HTTPRoute or a GRPCRoute with weighted backends.

    Args:
        service: service that clients send requests to.
        port: port of the service.
        backends: services that receive the requests.
    """
    backend_refs = [{"name": each.service, "port": each.port, "weight": each.weight} for each in backends]
    return route_spec(service, port, {"backendRefs": backend_refs})


def create_splits_and_failovers(
    component: TrafficComponent,
    exports: Exports,
    service: str,
    port: int,
    splits: Sequence[SplitConfig],
    failovers: Sequence[FailoverConfig],
    grpc_port: int | None = None,
) -> None:
    """Create the splits and failovers that the settings contain for the component's cluster.

    Args:
        component: component of the service.
        exports: registry of the Services and their mirrors.
        service: service that clients send requests to; with a failover, it needs `failover_annotations`.
        port: port of the service.
        splits: splits of all clusters.
        failovers: failovers of all clusters.
        grpc_port: port of the service's gRPC requests.
    """
    for split in splits:
        if split.cluster == component.cluster.name:
            split_requests(
                component,
                exports,
                "split",
                service,
                form=split.form,
                service=service,
                port=port,
                backends=split_backends(service, port, split),
                grpc_port=grpc_port,
                version=split.smi_version,
            )
    for failover in failovers:
        if failover.cluster == component.cluster.name:
            backends = failover_backends(service, port, failover)
            # The name differs from a split's, because both exist while one replaces the other.
            _create_weighted_route(
                component, exports, "failover", f"{service}-failover", service, port, backends, grpc_port
            )


def split_requests(
    component: TrafficComponent,
    exports: Exports,
    role: str,
    name: str,
    *,
    form: SplitForm | None,
    service: str,
    port: int,
    backends: Sequence[Backend],
    grpc_port: int | None = None,
    version: str = "v1alpha1",
    in_thousandths: bool = False,
) -> None:
    """Create a TrafficSplit or weighted routes.

    Args:
        component: component of the service.
        exports: registry of the Services and their mirrors.
        role: suffix of the resource name.
        name: name of the objects.
        form: `smi` or `gateway-api`; None for the cluster's default.
        service: service that clients send requests to.
        port: port of the service.
        backends: services that receive the requests.
        grpc_port: port of the service's gRPC requests, which need a GRPCRoute; a TrafficSplit includes all ports.
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
            opts=_refer_to_backends(component, exports, role, service, backends),
        )
    else:
        _create_weighted_route(component, exports, role, name, service, port, backends, grpc_port)


def _create_weighted_route(
    component: TrafficComponent,
    exports: Exports,
    role: str,
    name: str,
    service: str,
    port: int,
    backends: Sequence[Backend],
    grpc_port: int | None,
) -> None:
    opts = _refer_to_backends(component, exports, role, service, backends)
    create_route(component, "HTTPRoute", role, name, weighted_route_spec(service, port, backends), opts=opts)
    if grpc_port is not None:
        grpc_role, grpc_backends = f"{role}-grpc", [replace(each, port=grpc_port) for each in backends]
        spec = weighted_route_spec(service, grpc_port, grpc_backends)
        opts = _refer_to_backends(component, exports, grpc_role, service, grpc_backends)
        create_route(component, "GRPCRoute", grpc_role, name, spec, opts=opts)


def _refer_to_backends(
    component: TrafficComponent, exports: Exports, role: str, service: str, backends: Sequence[Backend]
) -> pulumi.ResourceOptions:
    """Return the options of a route, which follows its own Services, the mirrors and their links."""
    cluster, namespace = component.cluster.name, component.namespace
    targets: list[pulumi.Resource] = []
    for name in dict.fromkeys([service, *(each.service for each in backends if each.target is None)]):
        targets += exports.find(cluster, namespace.name, name, source=cluster)
    mirrors: dict[str, RequiredService] = {}
    for backend in backends:
        if backend.target is not None:
            targets += exports.find(backend.target, namespace.name, service, source=cluster)
            link = namespace.links.get(Link(source=cluster, target=backend.target))
            targets += [link] if link is not None else []
            mirrors[backend.service] = RequiredService(
                namespace=namespace.name, name=backend.service, origin=mirror_origin(backend.target)
            )

    def find_required(step: HookStep) -> list[RequiredService]:
        return [mirrors[name] for name in find_added_backends(step) if name in mirrors]

    return refer_to(component.resource_name(role), component.cluster, targets, find_required)
