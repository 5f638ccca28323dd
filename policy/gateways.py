"""Rule for gateways and other load balancers: limited to networks, or declared public.

Follows https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer (loadBalancerSourceRanges).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mesh.kube.constants import EXPOSURE_ANNOTATION
from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET
from policy.charts import chart_name, helm_values
from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource, list_items, value_at
from policy.rule import Rule, RuleFinding
from policy.violation import PropertyPath

# The program sets `public` for `gateway.loadBalancer.public: true`, and `none` for `gateway.loadBalancer: false`.
_DECLARED_EXPOSURES = ("public", "none")
_ALL_NETWORKS = ("0.0.0.0/0", "::/0")
_LOAD_BALANCER = "LoadBalancer"
_RANGES = "loadBalancerSourceRanges"


@dataclass(frozen=True, kw_only=True)
class _ServiceValues:
    """Paths of a chart's values that define its Service."""

    path: tuple[str, ...]
    type: str = "type"
    annotations: str = "annotations"
    remedy: str


_SERVICE_VALUES = {
    "linkerd-multicluster": _ServiceValues(
        path=("gateway",),
        type="serviceType",
        annotations="serviceAnnotations",
        remedy="set gateway.loadBalancer.sourceRanges of the cluster, or gateway.loadBalancer.public: true",
    ),
    "ingress-nginx": _ServiceValues(
        path=("controller", "service"),
        remedy=f"set {_RANGES}, or the annotation {EXPOSURE_ANNOTATION}: public, in extensions.ingressNginx.values",
    ),
}


def _check_load_balancer(resource: PlannedResource, limits: LifetimeLimits) -> Iterator[RuleFinding]:
    if resource.type == "kubernetes:core/v1:Service":
        spec = resource.properties.get("spec")
        if value_at(spec, "type") == _LOAD_BALANCER:
            annotations = value_at(resource.properties, "metadata", "annotations")
            remedy = f"set {_RANGES}, or the annotation {EXPOSURE_ANNOTATION}: public"
            yield from _check_ranges(value_at(spec, _RANGES), annotations, ("spec",), remedy)
        return
    keys = _SERVICE_VALUES.get(chart_name(resource))
    if keys is None or not isinstance(helm_values(resource), dict):
        return
    service = value_at(helm_values(resource), *keys.path)
    # Both charts create a load balancer by default.
    is_load_balancer = (value_at(service, keys.type) or _LOAD_BALANCER) == _LOAD_BALANCER
    if value_at(service, "enabled") is not False and is_load_balancer:
        annotations = value_at(service, keys.annotations)
        yield from _check_ranges(value_at(service, _RANGES), annotations, ("values", *keys.path), keys.remedy)


def _check_ranges(ranges: Any, annotations: Any, path: PropertyPath, remedy: str) -> Iterator[RuleFinding]:
    hidden = (SECRET, UNKNOWN_VALUE)
    exposure = value_at(annotations, EXPOSURE_ANNOTATION)
    if ranges in hidden or annotations in hidden or exposure in (*_DECLARED_EXPOSURES, *hidden):
        return
    if not list_items(ranges):
        yield (*path, _RANGES), "the load balancer admits every client, and is not declared public", remedy
    for number, network in enumerate(list_items(ranges)):
        if network in _ALL_NETWORKS:
            message = f"{network} admits every client, and the load balancer is not declared public"
            yield (*path, _RANGES, number), message, remedy


RULE = Rule(
    name="gateways",
    description="A load balancer admits only some networks, or is public on purpose.",
    # Advisory, because Linkerd's own guide creates an open gateway. A client without a certificate of the mesh fails
    # the TLS handshake there. The level can be raised in the configuration.
    level="advisory",
    find=_check_load_balancer,
)
