"""Routes of a service, with timeouts and retries: a ServiceProfile or HTTPRoutes.

Follows https://linkerd.io/2.14/reference/service-profiles/, https://linkerd.io/2/tasks/books/,
https://linkerd.io/2/reference/retries/ and https://linkerd.io/2/reference/timeouts/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pulumi

from components.services.backends import Backend, refer_to_backends
from components.services.exports import Exports
from components.services.http_route import create_route, route_spec
from components.services.traffic_component import TrafficComponent
from components.services.traffic_split import RoutedPort, backend_references
from mesh import config
from mesh.service_profiles import routes as profile_routes
from mesh.service_profiles.routes import ProfileRoute

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
# Limit of the part of an object's name that is derived from its route.
_MAX_NAME_LENGTH = 50


@dataclass(frozen=True, kw_only=True)
class HttpRoute:
    """An HTTPRoute with one rule."""

    name: str  # without the service's name
    rule: dict[str, Any]
    annotations: dict[str, str]


def profile_spec(
    profile: config.Profile, default_routes: Sequence[ProfileRoute], overrides: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return the spec of a ServiceProfile, `linkerd.io/v1alpha2`.

    Args:
        profile: settings of the profile.
        default_routes: routes of the sample, used if the settings have none.
        overrides: weights of the services that receive the requests, by DNS name; None: only the service itself.
    """
    spec: dict[str, Any] = {
        "routes": [profile_routes.route_spec(route) for route in profile.routes or default_routes],
    }
    if (budget := profile.retry_budget) is not None:
        spec["retryBudget"] = {
            "retryRatio": budget.retry_ratio,
            "minRetriesPerSecond": budget.min_retries_per_second,
            "ttl": budget.ttl,
        }
    if overrides is not None:
        # In thousandths: Linkerd multiplies a weight by 10000, and the product must have at most 32 bits.
        spec["dstOverrides"] = [{"authority": name, "weight": f"{weight}m"} for name, weight in overrides.items()]
    return spec


def http_routes(
    profile: config.Profile,
    default_routes: Sequence[ProfileRoute],
    backend_refs: Sequence[Mapping[str, Any]] = (),
) -> list[HttpRoute]:
    """Return the HTTPRoutes of a service.

    The last one matches all other requests. Without it, Linkerd would reject them.

    Args:
        profile: settings of the profile.
        default_routes: routes of the sample, used if the settings have none.
        backend_refs: backends of each route; empty: the service itself.
    """
    backends = {"backendRefs": [dict(each) for each in backend_refs]} if backend_refs else {}
    routes: list[HttpRoute] = []
    taken = {"other"}
    for route in profile.routes or default_routes:
        name = _unique_name(_route_name(route), taken)
        taken.add(name)
        match = {"path": {"type": "RegularExpression", "value": route.path_regex}, "method": route.method}
        rule = {"matches": [match], **backends}
        routes.append(HttpRoute(name=name, rule=rule, annotations=_route_annotations(route)))
    # The Gateway API prefers the route with the longest path, then one with a method, so this route comes last.
    catch_all = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], **backends}
    return [*routes, HttpRoute(name="other", rule=catch_all, annotations={})]


def create_profile(
    component: TrafficComponent,
    exports: Exports,
    service: str,
    ports: Sequence[RoutedPort],
    profile: config.Profile,
    default_routes: Sequence[ProfileRoute],
    backends: Sequence[Backend] = (),
) -> None:
    """Create the routes of one service.

    Args:
        component: component of the service.
        exports: registry of the Services and their mirrors.
        service: name of the service.
        ports: ports of the service; a ServiceProfile includes all ports.
        profile: settings of the profile.
        default_routes: routes of the sample, used if the settings have none.
        backends: services that receive the requests; empty: the service itself.
    """
    if profile.form == "gateway-api":
        for port in ports:
            if port.kind == "HTTPRoute":
                _create_http_routes(component, exports, service, port, profile, default_routes, backends)
        return
    domain = f"{component.namespace.name}.svc.{component.cluster.settings.linkerd.cluster_domain}"
    overrides = {f"{each.service}.{domain}": each.weight for each in backends}
    component.create_custom_object(
        "profile",
        "linkerd.io/v1alpha2",
        "ServiceProfile",
        f"{service}.{domain}",
        profile_spec(profile, default_routes, overrides or None),
        # The control plane contains the validating webhook, and is installed after the CRDs.
        [component.namespace.mesh_cluster.linkerd.control_plane],
        opts=refer_to_backends(component, exports, "profile", service, backends) if backends else None,
    )


def _create_http_routes(
    component: TrafficComponent,
    exports: Exports,
    service: str,
    port: RoutedPort,
    profile: config.Profile,
    default_routes: Sequence[ProfileRoute],
    backends: Sequence[Backend],
) -> None:
    """Create the routes of a service, the catch-all first: a service with routes rejects all other requests."""
    catch_all: list[pulumi.Resource] = []
    routes = http_routes(profile, default_routes, backend_references(port.number, backends))
    for route in reversed(routes):
        role = f"route{port.role_suffix}-{route.name}"
        # Hidden dependency: the controllers receive objects of one kind in their order.
        opts = pulumi.ResourceOptions(depends_on=catch_all)
        if backends:
            opts = pulumi.ResourceOptions.merge(opts, refer_to_backends(component, exports, role, service, backends))
        created = create_route(
            component,
            "HTTPRoute",
            role,
            f"{service}{port.name_suffix}-{route.name}",
            route_spec(service, port.number, route.rule),
            route.annotations,
            opts=opts,
        )
        if not catch_all and created is not None:
            catch_all.append(created)


def to_milliseconds(duration: str) -> int:
    """Return a duration in milliseconds, rounded up.

    Linkerd's annotations support neither fractions nor several units.

    Args:
        duration: a duration such as 1m30.5s.
    """
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", duration)
    total = sum((Decimal(number) * _MILLISECONDS[unit] for number, unit in parts), Decimal(0))
    return int(total.to_integral_value(ROUND_CEILING))


def _route_annotations(route: ProfileRoute) -> dict[str, str]:
    annotations: dict[str, str] = {}
    if route.is_retryable:
        annotations["retry.linkerd.io/http"] = "5xx"
    if route.retry_limit is not None:
        annotations["retry.linkerd.io/limit"] = str(route.retry_limit)
    # A ServiceProfile treats zero as no timeout; an annotation with zero would be a timeout.
    if route.timeout is not None and to_milliseconds(route.timeout):
        annotations["timeout.linkerd.io/request"] = f"{to_milliseconds(route.timeout)}ms"
    return annotations


def _route_name(route: ProfileRoute) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", route.name.lower())[:_MAX_NAME_LENGTH].strip("-")
    return name or route.method.lower()


def _unique_name(name: str, taken: set[str]) -> str:
    number = 2
    unique = name
    while unique in taken:
        unique = f"{name}-{number}"
        number += 1
    return unique
