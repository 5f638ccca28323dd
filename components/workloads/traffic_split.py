"""Requests to a service, shared out between it and others: by a TrafficSplit of the SMI, or by routes.

Follows https://linkerd.io/2.14/tasks/linkerd-smi/, https://github.com/servicemeshinterface/smi-spec (traffic-split),
https://linkerd.io/2/reference/httproute/, https://linkerd.io/2/reference/grpcroute/ and, for what makes a backend
unavailable, https://linkerd.io/2/reference/circuit-breaking/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.workloads.http_route import create_route, route_spec
from components.workloads.manifests import SampleObjects
from components.workloads.sample_namespace import SampleNamespace
from mesh.config.models.samples import FailoverConfig, SplitConfig, SplitForm

# The Gateway API's own limit.
MAX_WEIGHT = 1_000_000
# Of a Service: a pod of it that fails seven times in a row is left alone for a while.
FAILURE_ACCRUAL_ANNOTATION: Mapping[str, str] = {"balancer.linkerd.io/failure-accrual": "consecutive"}


@dataclass(frozen=True, kw_only=True)
class Backend:
    """Who answers a part of the requests."""

    service: str
    port: int
    weight: int


def split_backends(service: str, port: int, split: SplitConfig) -> list[Backend]:
    """The services that a split of a sample's requests leads to.

    Args:
        service: the sample's, which requests are sent to.
        port: its port.
        split: the setting; other clusters' services are their mirrors.
    """
    return [
        Backend(service=service if name == split.cluster else f"{service}-{name}", port=port, weight=weight)
        for name, weight in split.weights.items()
    ]


def traffic_split_spec(service: str, found: Sequence[Backend], *, thousandths: bool = False) -> dict[str, Any]:
    """The spec of a TrafficSplit.

    Args:
        service: whom requests are sent to.
        found: who answers.
        thousandths: whether to write weights as 500m, which v1alpha1 has.
    """
    return {
        "service": service,
        "backends": [
            {"service": each.service, "weight": f"{each.weight}m" if thousandths else each.weight} for each in found
        ],
    }


def weighted_backends_rule(service: str, port: int, found: Sequence[Backend]) -> dict[str, Any]:
    """The spec of an HTTPRoute, or of a GRPCRoute.

    Args:
        service: whom requests are sent to.
        port: at which port.
        found: who answers.
    """
    answers = [{"name": each.service, "port": each.port, "weight": each.weight} for each in found]
    return route_spec(service, port, {"backendRefs": answers})


def split_requests(
    objects: SampleObjects,
    place: SampleNamespace,
    role: str,
    name: str,
    *,
    form: SplitForm | None,
    service: str,
    port: int,
    found: Sequence[Backend],
    grpc_port: int | None = None,
    version: str = "v1alpha1",
    thousandths: bool = False,
) -> None:
    """Split the requests to a service.

    Args:
        objects: makes the sample's objects.
        place: where they are.
        role: the last part of the resource name.
        name: what it is called.
        form: a TrafficSplit or routes of the Gateway API; left out, what the cluster has.
        service: whom requests are sent to.
        port: at which port.
        found: who answers.
        grpc_port: the port of its gRPC requests, which a GRPCRoute is for; a TrafficSplit is for all ports.
        version: of a TrafficSplit's API.
        thousandths: whether weights are thousandths.
    """
    spec: Mapping[str, Any]
    if (form or place.cluster.settings.split_form) == "smi":
        smi = place.mesh_cluster.smi
        assert smi is not None, "settings see to it that the cluster has TrafficSplits"
        spec = traffic_split_spec(service, found, thousandths=thousandths)
        # The kind comes with the extension, which makes a ServiceProfile of it.
        objects.custom(role, f"split.smi-spec.io/{version}", "TrafficSplit", name, spec, [smi.ready])
    else:
        _create_weighted_route(objects, place, role, name, service, port, found, grpc_port)


def fail_over(
    objects: SampleObjects,
    place: SampleNamespace,
    service: str,
    port: int,
    failover: FailoverConfig,
    grpc_port: int | None = None,
) -> None:
    """Let other clusters answer the requests to a service while it is unavailable.

    There is no order among the backends of a route, only chance, by their weights, among those that are available.
    So the service itself has the greatest weight that there is, and each mirror the least.

    Args:
        objects: makes the sample's objects.
        place: where they are.
        service: whom requests are sent to; it has the annotations `ACCRUAL`, so that failures make it unavailable.
        port: at which port.
        failover: the setting.
        grpc_port: the port of its gRPC requests.
    """
    # Not the name that a split has: while the one takes the other's place, both are there.
    found = failover_backends(service, port, failover)
    _create_weighted_route(objects, place, "failover", f"{service}-failover", service, port, found, grpc_port)


def failover_backends(service: str, port: int, failover: FailoverConfig) -> list[Backend]:
    """The services that answer requests to a sample, the first one unless it is unavailable.

    Args:
        service: the sample's, which requests are sent to.
        port: its port.
        failover: the setting.
    """
    others = [Backend(service=f"{service}-{name}", port=port, weight=1) for name in failover.backups]
    return [Backend(service=service, port=port, weight=MAX_WEIGHT), *others]


def _create_weighted_route(
    objects: SampleObjects,
    place: SampleNamespace,
    role: str,
    name: str,
    service: str,
    port: int,
    found: Sequence[Backend],
    grpc_port: int | None,
) -> None:
    create_route(objects, place, "HTTPRoute", role, name, weighted_backends_rule(service, port, found))
    if grpc_port is not None:
        of_grpc = [replace(each, port=grpc_port) for each in found]
        create_route(
            objects, place, "GRPCRoute", f"{role}-grpc", name, weighted_backends_rule(service, grpc_port, of_grpc)
        )
