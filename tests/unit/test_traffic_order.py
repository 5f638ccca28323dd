"""Backends that a route's step adds."""

from __future__ import annotations

from typing import Any

import pytest

from components.sdk.hooks import HookStep
from components.traffic_order import find_added_backends


def build_route(**weights: int) -> dict[str, Any]:
    references = [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]
    return {"spec": {"parentRefs": [], "rules": [{"backendRefs": references}]}}


def build_split(**weights: str) -> dict[str, Any]:
    return {"spec": {"service": "own", "backends": [{"service": key, "weight": each} for key, each in weights.items()]}}


@pytest.mark.parametrize(
    ("former", "route", "added"),
    [
        ({}, build_route(own=50, east=50), ["own", "east"]),
        (build_route(own=1), build_route(own=50, east=50), ["east"]),
        (build_route(own=1, east=50), build_route(own=1, east=10), []),
        (build_route(own=1, east=0), build_route(own=1, east=10), ["east"]),
        ({}, build_route(own=1, east=0), ["own"]),
        ({}, build_split(own="500m", east="0m", north="1"), ["own", "north"]),
        (build_split(own="1"), build_split(own="1", east="1"), ["east"]),
        ({}, {"spec": {"rules": [{"matches": []}]}}, []),
    ],
    ids=["create", "new", "less", "from-zero", "zero", "split", "split-new", "no-backend"],
)
def test_backend_without_requests_so_far_is_added(
    former: dict[str, Any], route: dict[str, Any], added: list[str]
) -> None:
    step = HookStep(urn="urn", inputs=route, old_outputs=former)

    assert find_added_backends(step) == added
