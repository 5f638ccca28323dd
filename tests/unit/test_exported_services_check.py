"""Rows of `make check` on mirrors and federated services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hack.make import services
from hack.make.services import ListServices, ReadObject

LOCAL, REMOTE = "multicluster.linkerd.io/local-discovery", "multicluster.linkerd.io/remote-discovery"


def object_reader(objects: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> ReadObject:
    """Return a reader of objects by cluster, kind and name. Every namespace exists except `elsewhere`."""

    def read_object(cluster: str, kind: str, name: str, namespace: str) -> Mapping[str, Any]:
        if kind == "namespaces":
            return {} if name == "elsewhere" else {"metadata": {}}
        return objects.get((cluster, kind, name), {})

    return read_object


def service_lister(exports: Mapping[tuple[str, str], Sequence[tuple[str, str]]]) -> ListServices:
    return lambda cluster, selector: exports.get((cluster, selector.rpartition("=")[2]), [])


list_members = service_lister(
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
def test_federated_service_has_expected_members(annotations: dict[str, str] | None, passed: bool, detail: str) -> None:
    service = {"metadata": {"name": "till-federated", "annotations": annotations}}
    read_object = object_reader({} if annotations is None else {("west", "services", "till-federated"): service})

    is_complete, (row,) = services.check_federated_services("west", ["east"], read_object, list_members)

    assert (is_complete, row.passed, row.subject, row.detail) == (passed, passed, "west", detail)


def test_cluster_without_federated_services_has_no_row() -> None:
    assert services.check_federated_services("south", [], object_reader({}), list_members) == (True, [])


@pytest.mark.parametrize(
    ("labels", "passed", "detail"),
    [
        ({REMOTE: "east"}, True, "shop/till-east at its pods"),
        ({REMOTE: "north"}, False, "shop/till-east is missing"),
        ({}, False, "shop/till-east is missing"),
    ],
)
def test_flat_mirror_refers_to_its_target(labels: dict[str, str], passed: bool, detail: str) -> None:
    read_object = object_reader({("west", "services", "till-east"): {"metadata": {"labels": labels}}})

    is_complete, (row,) = services.check_flat_mirrors(
        "west", "east", read_object, service_lister({("east", "remote-discovery"): [("shop", "till")]})
    )

    assert (is_complete, row.check, row.detail) == (passed, "mirrors", detail)


@pytest.mark.parametrize(
    ("addresses", "detail"),
    [
        (["198.51.100.7"], "shop/till-east at 198.51.100.7"),
        (["198.51.100.8"], "shop/till-east has 198.51.100.8 in place of 198.51.100.7"),
        ([], "shop/till-east has no endpoint"),
        (None, "shop/till-east is missing"),
    ],
)
def test_gateway_mirror_has_gateway_as_endpoint(addresses: list[str] | None, detail: str) -> None:
    objects: dict[tuple[str, str, str], Any] = {
        ("west", "links.multicluster.linkerd.io", "east"): {"spec": {"gatewayAddress": "198.51.100.7"}}
    }
    if addresses is not None:
        objects["west", "services", "till-east"] = {"metadata": {}}
        objects["west", "endpoints", "till-east"] = {"subsets": [{"addresses": [{"ip": ip} for ip in addresses]}]}

    is_complete, (row,) = services.check_gateway_mirrors(
        "west", "east", object_reader(objects), service_lister({("east", "true"): [("shop", "till")]})
    )

    assert (is_complete, row.detail) == (" at " in detail, detail)
