"""How the figures look at what clusters have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import leftovers
from benchmarks.environment import Environment
from hack.lab.api import ApiError

LINKS = "/apis/multicluster.linkerd.io/v1alpha1/links"
ANSWERS: dict[str, Any] = {
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


def read(*refusals: int) -> int:
    """How often links are asked for when they are refused with these, one after the other."""
    asked = iter([*refusals, 200])
    count = 0

    def get(path: str, **_: object) -> object:
        nonlocal count
        if path != LINKS:
            return ANSWERS[path]
        count += 1
        if (status := next(asked)) != 200:
            raise ApiError(status, "")
        return {"items": []}

    leftovers.warm(cast(Environment, SimpleNamespace(api=lambda _: SimpleNamespace(get=get))), ["west"])
    return count


@pytest.mark.parametrize(("refusals", "times"), [([], 1), ([429, 429], 3), ([404], 1)])
def test_a_kind_is_asked_for_until_its_storage_is_ready(refusals: list[int], times: int) -> None:
    assert read(*refusals) == times
