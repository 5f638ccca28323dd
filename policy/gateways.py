"""Gateways, and whatever else has a load balancer: only for some networks, or public on purpose.

Follows https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer (loadBalancerSourceRanges).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policy.charts import chart, values
from policy.limits import Bounds
from policy.planned_resource import SECRET, UNKNOWN, PlannedResource, at, items
from policy.rule import Found, Rule
from policy.violation import Path

# What `gateway.loadBalancer.public: true` becomes, `public`, and `gateway.loadBalancer: false`, `none`.
EXPOSURE = "multicluster-mesh/exposure"
_SAID = ("public", "none")
_EVERYBODY = ("0.0.0.0/0", "::/0")
_BALANCED = "LoadBalancer"
_RANGES = "loadBalancerSourceRanges"


@dataclass(frozen=True, kw_only=True)
class _Service:
    """Where a chart's values say what its Service is like."""

    path: tuple[str, ...]
    type: str = "type"
    annotations: str = "annotations"
    remedy: str


_CHARTS = {
    "linkerd-multicluster": _Service(
        path=("gateway",),
        type="serviceType",
        annotations="serviceAnnotations",
        remedy="set gateway.loadBalancer.sourceRanges of the cluster, or gateway.loadBalancer.public: true",
    ),
    "ingress-nginx": _Service(
        path=("controller", "service"),
        remedy=f"set {_RANGES}, or the annotation {EXPOSURE}: public, in extensions.ingressNginx.values",
    ),
}


def _find(resource: PlannedResource, bounds: Bounds) -> Iterator[Found]:
    if resource.type == "kubernetes:core/v1:Service":
        spec = resource.properties.get("spec")
        if at(spec, "type") == _BALANCED:
            annotations = at(resource.properties, "metadata", "annotations")
            remedy = f"set {_RANGES}, or its annotation {EXPOSURE}: public"
            yield from _open(at(spec, _RANGES), annotations, ("spec",), remedy)
        return
    known = _CHARTS.get(chart(resource))
    if known is None or not isinstance(values(resource), dict):
        return
    service = at(values(resource), *known.path)
    # Both charts make a load balancer where nothing is said.
    if at(service, "enabled") is not False and (at(service, known.type) or _BALANCED) == _BALANCED:
        yield from _open(at(service, _RANGES), at(service, known.annotations), ("values", *known.path), known.remedy)


def _open(ranges: Any, annotations: Any, path: Path, remedy: str) -> Iterator[Found]:
    hidden = (SECRET, UNKNOWN)
    if ranges in hidden or annotations in hidden or at(annotations, EXPOSURE) in (*_SAID, *hidden):
        return
    if not items(ranges):
        yield (*path, _RANGES), "the load balancer lets in everybody, and nobody says that it is meant to", remedy
    for number, network in enumerate(items(ranges)):
        if network in _EVERYBODY:
            yield (*path, _RANGES, number), f"{network} is everybody, and nobody says that it is meant to be", remedy


RULE = Rule(
    name="gateways",
    description="A load balancer lets in only some networks, or is public on purpose.",
    # Open is what Linkerd's own guide makes, and who has no certificate of the mesh gets no further than the handshake.
    # So it is told, and not in the way of an update that is about something else. Who wants more, configures it.
    level="advisory",
    find=_find,
)
