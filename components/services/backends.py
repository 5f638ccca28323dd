"""Backends of a service's requests: the service itself and its mirrors, with their weights.

Follows https://linkerd.io/2/reference/httproute/ and, for failure accrual,
https://linkerd.io/2/reference/circuit-breaking/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.sdk.hooks import HookStep
from components.services.exports import Exports, mirror_origin
from components.services.traffic_component import TrafficComponent
from components.traffic_order import find_added_backends, refer_to
from mesh.config.models.services import FailoverConfig, SplitConfig, SplitsConfig
from mesh.mirrors import mirror_name

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
    weight: int
    port: int | None = None  # None: the port of the request
    target: str | None = None  # cluster of the service that this one mirrors; None: the service is no mirror


@dataclass(frozen=True, kw_only=True)
class RequestDistribution:
    """Split and failover of a service's requests in one cluster; at least one of the two."""

    split: SplitConfig | None = None
    failover: FailoverConfig | None = None

    @property
    def role(self) -> str:
        """Return the suffix of resource names."""
        return "failover" if self.split is None else "split"


def find_distribution(config: SplitsConfig, cluster: str) -> RequestDistribution | None:
    """Return the split and the failover of requests in a cluster; None without both."""
    split = next((each for each in config.splits if each.cluster == cluster), None)
    failover = next((each for each in config.failover if each.cluster == cluster), None)
    return RequestDistribution(split=split, failover=failover) if split is not None or failover is not None else None


def request_backends(service: str, distribution: RequestDistribution) -> list[Backend]:
    """Return the backends of a service's requests.

    The backends of a route have no order. Linkerd chooses among the available ones at random, by weight. So a cluster
    that only answers instead of others has the minimum weight, and the others have large weights.

    Args:
        service: service that clients send requests to; the backends of other clusters are its mirrors.
        distribution: split and failover in the cluster of the clients.
    """
    split, failover = distribution.split, distribution.failover
    if split is None:
        assert failover is not None, "a distribution has a split or a failover"
        return [
            Backend(service=service, weight=MAX_WEIGHT),
            *_list_mirrors(service, dict.fromkeys(failover.targets, 1)),
        ]
    weights = dict(split.weights)
    if failover is not None:
        # Every weight keeps its share, up to rounding.
        scale = MAX_WEIGHT / max(weights.values())
        weights = {name: round(weight * scale) for name, weight in weights.items()}
        weights |= {name: 1 for name in failover.targets if not weights.get(name)}
    own, others = weights.pop(split.cluster, None), weights
    order = [*split.weights, *(name for name in others if name not in split.weights)]
    backends = {each.target or split.cluster: each for each in _list_mirrors(service, others)}
    if own is not None:
        backends[split.cluster] = Backend(service=service, weight=own)
    return [backends[name] for name in order]


def _list_mirrors(service: str, weights: Mapping[str, int]) -> list[Backend]:
    return [Backend(service=mirror_name(service, name), weight=weight, target=name) for name, weight in weights.items()]


def failover_annotations(cluster: str, failovers: Sequence[FailoverConfig]) -> Mapping[str, str] | None:
    """Return the annotation with which failures make the service of a cluster unavailable, if it has a failover."""
    return FAILURE_ACCRUAL_ANNOTATION if any(failover.cluster == cluster for failover in failovers) else None


def refer_to_backends(
    component: TrafficComponent, exports: Exports, role: str, service: str, backends: Sequence[Backend]
) -> pulumi.ResourceOptions:
    """Return the options of a route, which follows its own Services, the mirrors and their links.

    Args:
        component: component of the service.
        exports: registry of the Services and their mirrors.
        role: suffix of the route's resource name.
        service: service that clients send requests to.
        backends: services that receive the requests.
    """
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
