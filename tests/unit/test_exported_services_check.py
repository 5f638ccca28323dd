"""What `make check` says of mirrors and federated services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hack.make import services
from hack.make.services import Look, Services

LOCAL, REMOTE = "multicluster.linkerd.io/local-discovery", "multicluster.linkerd.io/remote-discovery"


def looking(objects: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> Look:
    """Reads objects by cluster, kind and name; every namespace is there but `elsewhere`."""

    def look(cluster: str, kind: str, name: str, namespace: str) -> Mapping[str, Any]:
        if kind == "namespaces":
            return {} if name == "elsewhere" else {"metadata": {}}
        return objects.get((cluster, kind, name), {})

    return look


def finding(found: Mapping[tuple[str, str], Sequence[tuple[str, str]]]) -> Services:
    return lambda cluster, selector: found.get((cluster, selector.rpartition("=")[2]), [])


MEMBERS = finding(
    {
        ("west", "member"): [("shop", "till")],
        ("east", "member"): [("shop", "till"), ("elsewhere", "safe")],
        ("north", "member"): [("shop", "till")],
    }
)


@pytest.mark.parametrize(
    ("annotations", "passed", "detail"),
    [
        ({LOCAL: "till", REMOTE: "till@east"}, True, "shop/till-federated of east, west"),
        ({LOCAL: "till"}, False, "shop/till-federated has west in place of east, west"),
        ({REMOTE: "till@east,till@north"}, False, "shop/till-federated has east, north in place of east, west"),
        ({}, False, "shop/till-federated has no members in place of east, west"),
        (None, False, "shop/till-federated is missing"),
    ],
)
def test_a_federated_service_has_the_members_that_the_cluster_sees(
    annotations: dict[str, str] | None, passed: bool, detail: str
) -> None:
    made = {"metadata": {"name": "till-federated", "annotations": annotations}}
    look = looking({} if annotations is None else {("west", "services", "till-federated"): made})

    told, (row,) = services.federated("west", ["east"], look, MEMBERS)

    assert (told, row.passed, row.subject, row.detail) == (passed, passed, "west", detail)


def test_a_cluster_without_federated_services_has_no_row() -> None:
    assert services.federated("south", [], looking({}), MEMBERS) == (True, [])


@pytest.mark.parametrize(
    ("labels", "passed", "detail"),
    [
        ({REMOTE: "east"}, True, "shop/till-east at its pods"),
        ({REMOTE: "north"}, False, "shop/till-east is missing"),
        ({}, False, "shop/till-east is missing"),
    ],
)
def test_what_is_exported_for_remote_discovery_is_looked_up_in_its_own_cluster(
    labels: dict[str, str], passed: bool, detail: str
) -> None:
    look = looking({("west", "services", "till-east"): {"metadata": {"labels": labels}}})

    told, (row,) = services.discovered(
        "west", "east", look, finding({("east", "remote-discovery"): [("shop", "till")]})
    )

    assert (told, row.check, row.detail) == (passed, "mirrors", detail)


@pytest.mark.parametrize(
    ("addresses", "detail"),
    [
        (["198.51.100.7"], "shop/till-east at 198.51.100.7"),
        (["198.51.100.8"], "shop/till-east has 198.51.100.8 in place of 198.51.100.7"),
        ([], "shop/till-east has no endpoint"),
        (None, "shop/till-east is missing"),
    ],
)
def test_what_is_exported_through_the_gateway_has_the_gateway_as_its_endpoint(
    addresses: list[str] | None, detail: str
) -> None:
    objects: dict[tuple[str, str, str], Any] = {
        ("west", "links.multicluster.linkerd.io", "east"): {"spec": {"gatewayAddress": "198.51.100.7"}}
    }
    if addresses is not None:
        objects["west", "services", "till-east"] = {"metadata": {}}
        objects["west", "endpoints", "till-east"] = {"subsets": [{"addresses": [{"ip": ip} for ip in addresses]}]}

    told, (row,) = services.mirrors("west", "east", looking(objects), finding({("east", "true"): [("shop", "till")]}))

    assert (told, row.detail) == (" at " in detail, detail)
