"""The routes of a sample's service, with timeouts and retries: in a ServiceProfile, or each an HTTPRoute.

Follows https://linkerd.io/2.14/reference/service-profiles/, https://linkerd.io/2/tasks/books/,
https://linkerd.io/2/reference/retries/ and https://linkerd.io/2/reference/timeouts/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from components.workloads.http_route import create_route, route_spec
from components.workloads.manifests import SampleObjects
from components.workloads.sample_namespace import SampleNamespace
from mesh.config.models.samples import ProfileConfig, RouteConfig

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
# Of a name, what comes of a route's own.
_MAX_NAME_LENGTH = 50


@dataclass(frozen=True, kw_only=True)
class HttpRoute:
    """A route of a service as an object of its own."""

    name: str
    rule: dict[str, Any]
    annotations: dict[str, str]


def profile_spec(profile: ProfileConfig, usual: Sequence[RouteConfig]) -> dict[str, Any]:
    """The spec of a ServiceProfile, `linkerd.io/v1alpha2`.

    Args:
        profile: the setting.
        usual: the sample's own routes.
    """
    budget = profile.retry_budget
    return {
        "routes": [_profile_route(route) for route in profile.routes or usual],
        "retryBudget": {
            "retryRatio": budget.retry_ratio,
            "minRetriesPerSecond": budget.min_retries_per_second,
            "ttl": budget.ttl,
        },
    }


def http_routes(service: str, profile: ProfileConfig, usual: Sequence[RouteConfig]) -> list[HttpRoute]:
    """The HTTPRoutes of a service, the last one for requests that none of the others is for: they would be refused.

    Args:
        service: the service's name.
        profile: the setting.
        usual: the sample's own routes.
    """
    found: list[HttpRoute] = []
    taken = {"other"}
    for each in profile.routes or usual:
        name = _unique_name(_route_name(each), taken)
        taken.add(name)
        match = {"path": {"type": "RegularExpression", "value": each.path_regex}, "method": each.method}
        found.append(
            HttpRoute(name=f"{service}-{name}", rule={"matches": [match]}, annotations=_route_annotations(each))
        )
    # Of all routes for a request, the one with the longest path counts, and then one with a method.
    rest = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}
    return [*found, HttpRoute(name=f"{service}-other", rule=rest, annotations={})]


def create_profile(
    objects: SampleObjects,
    place: SampleNamespace,
    service: str,
    port: int,
    profile: ProfileConfig,
    usual: Sequence[RouteConfig],
) -> None:
    """The routes of one service.

    Args:
        objects: makes the sample's objects.
        place: where they are.
        service: the service's name.
        port: its port.
        profile: the setting.
        usual: the sample's own routes.
    """
    if profile.form == "gateway-api":
        for each in http_routes(service, profile, usual):
            role = f"route-{each.name.removeprefix(f'{service}-')}"
            spec = route_spec(service, port, each.rule)
            create_route(objects, place, "HTTPRoute", role, each.name, spec, each.annotations)
        return
    name = f"{service}.{place.name}.svc.{place.cluster.settings.linkerd.cluster_domain}"
    # The kind comes with Linkerd's CRDs, and Linkerd's webhook looks at it.
    before = [place.mesh_cluster.linkerd.control_plane]
    objects.custom("profile", "linkerd.io/v1alpha2", "ServiceProfile", name, profile_spec(profile, usual), before)


def to_milliseconds(duration: str) -> int:
    """A duration such as 1m30.5s; Linkerd's annotations have neither fractions nor several units.

    Args:
        duration: the setting.
    """
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", duration)
    total = sum((Decimal(number) * _MILLISECONDS[unit] for number, unit in parts), Decimal(0))
    return int(total.to_integral_value(ROUND_CEILING))


def _route_annotations(found: RouteConfig) -> dict[str, str]:
    wanted: dict[str, str] = {}
    if found.is_retryable:
        wanted["retry.linkerd.io/http"] = "5xx"
    if found.retry_limit is not None:
        wanted["retry.linkerd.io/limit"] = str(found.retry_limit)
    # None at all is what a ServiceProfile takes a zero for.
    if found.timeout is not None and to_milliseconds(found.timeout):
        wanted["timeout.linkerd.io/request"] = f"{to_milliseconds(found.timeout)}ms"
    return wanted


def _route_name(found: RouteConfig) -> str:
    said = found.name or f"{found.method} {found.path_regex}"
    plain = re.sub(r"[^a-z0-9]+", "-", said.lower())[:_MAX_NAME_LENGTH].strip("-")
    return plain or found.method.lower()


def _unique_name(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free = f"{name}-{number}"
        number += 1
    return free


def _profile_route(route: RouteConfig) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": route.name or f"{route.method} {route.path_regex}",
        "condition": {"method": route.method, "pathRegex": route.path_regex},
    }
    if route.timeout is not None:
        found["timeout"] = route.timeout
    if route.is_retryable:
        found["isRetryable"] = True
    return found
