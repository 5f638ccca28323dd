"""The ServiceProfile of a sample's service: its routes, with timeouts and retries.

Follows https://linkerd.io/2.14/reference/service-profiles/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.workloads.objects import Objects
from components.workloads.place import Place
from settings.sample_parts import Profile, Route


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


def service_profile(objects: Objects, place: Place, service: str, profile: Profile, usual: Sequence[Route]) -> None:
    """The ServiceProfile of one service.

    Args:
        objects: makes the sample's objects.
        place: where they are.
        service: the service's name.
        profile: the setting.
        usual: the sample's own routes.
    """
    name = f"{service}.{place.name}.svc.{place.cluster.settings.linkerd.cluster_domain}"
    # The kind comes with Linkerd's CRDs, and Linkerd's webhook looks at it.
    before = [place.member.linkerd.control_plane]
    objects.custom("profile", "linkerd.io/v1alpha2", "ServiceProfile", name, profile_spec(profile, usual), before)


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
