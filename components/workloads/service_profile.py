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

from components.workloads.http_route import route, route_spec
from components.workloads.manifests import Objects
from components.workloads.sample_namespace import Place
from mesh.config.models.samples import Profile, Route

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
# Of a name, what comes of a route's own.
_LONGEST = 50


@dataclass(frozen=True, kw_only=True)
class HttpRoute:
    """A route of a service as an object of its own."""

    name: str
    rule: dict[str, Any]
    annotations: dict[str, str]


def profile_spec(profile: Profile, usual: Sequence[Route]) -> dict[str, Any]:
    """The spec of a ServiceProfile, `linkerd.io/v1alpha2`.

    Args:
        profile: the setting.
        usual: the sample's own routes.
    """
    budget = profile.retry_budget
    return {
        "routes": [_route(route) for route in profile.routes or usual],
        "retryBudget": {
            "retryRatio": budget.retry_ratio,
            "minRetriesPerSecond": budget.min_retries_per_second,
            "ttl": budget.ttl,
        },
    }


def http_routes(service: str, profile: Profile, usual: Sequence[Route]) -> list[HttpRoute]:
    """The HTTPRoutes of a service, the last one for requests that none of the others is for: they would be refused.

    Args:
        service: the service's name.
        profile: the setting.
        usual: the sample's own routes.
    """
    found: list[HttpRoute] = []
    taken = {"other"}
    for each in profile.routes or usual:
        name = _free(_name(each), taken)
        taken.add(name)
        match = {"path": {"type": "RegularExpression", "value": each.path_regex}, "method": each.method}
        found.append(HttpRoute(name=f"{service}-{name}", rule={"matches": [match]}, annotations=_annotations(each)))
    # Of all routes for a request, the one with the longest path counts, and then one with a method.
    rest = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}
    return [*found, HttpRoute(name=f"{service}-other", rule=rest, annotations={})]


def make_profile(
    objects: Objects, place: Place, service: str, port: int, profile: Profile, usual: Sequence[Route]
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
            route(objects, place, "HTTPRoute", role, each.name, spec, each.annotations)
        return
    name = f"{service}.{place.name}.svc.{place.cluster.settings.linkerd.cluster_domain}"
    # The kind comes with Linkerd's CRDs, and Linkerd's webhook looks at it.
    before = [place.member.linkerd.control_plane]
    objects.custom("profile", "linkerd.io/v1alpha2", "ServiceProfile", name, profile_spec(profile, usual), before)


def milliseconds(duration: str) -> int:
    """A duration such as 1m30.5s; Linkerd's annotations have neither fractions nor several units.

    Args:
        duration: the setting.
    """
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", duration)
    total = sum((Decimal(number) * _MILLISECONDS[unit] for number, unit in parts), Decimal(0))
    return int(total.to_integral_value(ROUND_CEILING))


def _annotations(found: Route) -> dict[str, str]:
    wanted: dict[str, str] = {}
    if found.is_retryable:
        wanted["retry.linkerd.io/http"] = "5xx"
    if found.retry_limit is not None:
        wanted["retry.linkerd.io/limit"] = str(found.retry_limit)
    # None at all is what a ServiceProfile takes a zero for.
    if found.timeout is not None and milliseconds(found.timeout):
        wanted["timeout.linkerd.io/request"] = f"{milliseconds(found.timeout)}ms"
    return wanted


def _name(found: Route) -> str:
    said = found.name or f"{found.method} {found.path_regex}"
    plain = re.sub(r"[^a-z0-9]+", "-", said.lower())[:_LONGEST].strip("-")
    return plain or found.method.lower()


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free = f"{name}-{number}"
        number += 1
    return free


def _route(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": route.name or f"{route.method} {route.path_regex}",
        "condition": {"method": route.method, "pathRegex": route.path_regex},
    }
    if route.timeout is not None:
        found["timeout"] = route.timeout
    if route.is_retryable:
        found["isRetryable"] = True
    return found
