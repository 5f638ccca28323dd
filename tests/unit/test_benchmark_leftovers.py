"""Retries while the API server initializes the storage of a kind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import leftovers
from benchmarks.environment import Environment
from hack.lab.api import ApiError

LINKS_PATH = "/apis/multicluster.linkerd.io/v1alpha1/links"
RESPONSES: dict[str, Any] = {
    "/apis": {
        "groups": [
            {
                "preferredVersion": {"groupVersion": "multicluster.linkerd.io/v1alpha1"},
                "versions": [{"groupVersion": "multicluster.linkerd.io/v1alpha1"}],
            }
        ]
    },
    "/api/v1": {"resources": []},
    "/apis/multicluster.linkerd.io/v1alpha1": {
        "resources": [{"name": "links", "kind": "Link", "namespaced": True, "verbs": ["list"]}]
    },
}


def count_link_requests(*errors: int) -> int:
    """Return how many requests for Links are sent when these status codes precede a success."""
    statuses = iter([*errors, 200])
    count = 0

    def get(path: str, **_: object) -> object:
        nonlocal count
        if path != LINKS_PATH:
            return RESPONSES[path]
        count += 1
        if (status := next(statuses)) != 200:
            raise ApiError(status, "")
        return {"items": []}

    leftovers.warm_storage(cast(Environment, SimpleNamespace(api=lambda _: SimpleNamespace(get=get))), ["west"])
    return count


@pytest.mark.parametrize(("errors", "requests"), [([], 1), ([429, 429], 3), ([404], 1)])
def test_kind_is_listed_until_its_storage_is_ready(errors: list[int], requests: int) -> None:
    assert count_link_requests(*errors) == requests
