"""The values of Cilium's chart, and what tells clusters of one another: pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.cilium.cilium import cilium_values, peer_values
from components.sdk import load_balancer
from components.workloads.userlist import service_annotations
from mesh import config
from mesh.config.models.cilium import CiliumConfig
from mesh.config.models.samples import UserlistConfig
from mesh.config.resolved import ClusterMeshMember
from mesh.config.validation.cilium import minor_version
from tests.helpers.cluster_settings import cluster

PEER = {"name": "east", "port": 32379, "ips": ["192.0.2.2"]}
PROVIDED = {"auto": {"enabled": True, "method": "provided"}}


def member(**more: Any) -> config.ClusterSettings:
    said: dict[str, Any] = {"service": "NodePort", "addresses": (), "port": 32379, "annotations": {}, "values": {}}
    return replace(cluster("west"), cilium=ClusterMeshMember(id=7, **{**said, **more}))


def values(cilium: dict[str, Any] | None = None, *, linkerd: bool = False, **more: Any) -> dict[str, Any]:
    return cilium_values(member(**more), CiliumConfig.model_validate(cilium or {}), [PEER], linkerd=linkerd)


def test_by_default_the_values_say_who_the_cluster_is_and_who_the_others_are() -> None:
    assert values() == {
        "cluster": {"id": 7, "name": "west"},
        "clustermesh": {
            "useAPIServer": True,
            "config": {"enabled": True, "clusters": [PEER]},
            "apiserver": {
                "service": {"type": "NodePort", "nodePort": 32379},
                # The chart makes no certificate: those that it mounts are there.
                "tls": {**PROVIDED, "authMode": "cluster"},
            },
        },
        "hubble": {"enabled": True, "tls": PROVIDED, "relay": {"enabled": False}},
        # The chart's default would be the same network in every cluster.
        "ipam": {"mode": "kubernetes"},
    }


def test_beside_linkerd_its_plugin_and_its_proxies_get_their_share() -> None:
    found = values(linkerd=True)

    assert found.pop("cni") == {"exclusive": False}
    assert found.pop("socketLB") == {"hostNamespaceOnly": True}
    assert found == values()


@pytest.mark.parametrize(
    ("version", "service", "expected"),
    [
        ("1.14.1", "NodePort", {"type": "NodePort", "nodePort": 31000}),
        ("1.19.0", "NodePort", {"type": "NodePort", "nodePort": 31000}),
        # A Service of this program's own has the load balancer's address.
        ("1.14.1", "LoadBalancer", {"type": "ClusterIP"}),
        # From 1.16 on, a ClusterIP would be refused for what the chart says of it.
        ("1.19.0", "LoadBalancer", {"type": "NodePort", "nodePort": 0}),
        ("1.14.1", "ClusterIP", {"type": "ClusterIP"}),
        ("1.19.0", "ClusterIP", {"externallyCreated": True}),
    ],
)
def test_each_way_to_an_api_server_is_a_service_of_its_own_kind(
    version: str, service: str, expected: dict[str, Any]
) -> None:
    cilium, annotations = {"nodePort": 31000, "version": version}, {"example.com/a": "b"}

    assert values(cilium, service=service)["clustermesh"]["apiserver"]["service"] == expected
    found = values(cilium, service=service, annotations=annotations)["clustermesh"]["apiserver"]["service"]
    own = service == "LoadBalancer" or "externallyCreated" in expected
    assert found == expected | ({} if own else {"annotations": annotations})


@pytest.mark.parametrize(("said", "expected"), [(None, None), (True, {"enabled": True}), (False, {"enabled": False})])
def test_kvstoremesh_is_the_charts_own_choice_unless_it_is_said(said: bool | None, expected: Any) -> None:
    assert values({"kvstoremesh": said})["clustermesh"]["apiserver"].get("kvstoremesh") == expected


def test_a_mesh_of_511_says_so_and_one_of_255_says_nothing() -> None:
    assert values({"maxConnectedClusters": 511})["clustermesh"]["maxConnectedClusters"] == 511
    assert "maxConnectedClusters" not in values({"maxConnectedClusters": 255})["clustermesh"]


def test_hubble_is_on_or_off_and_gathered_where_wished_for() -> None:
    assert values({"hubble": False})["hubble"] == {"enabled": False, "tls": PROVIDED}
    assert values({"hubble": {"relay": True}})["hubble"]["relay"] == {"enabled": True}


def test_a_clusters_own_values_come_last_key_by_key() -> None:
    own = {
        "socketLB": {"hostNamespaceOnly": False},
        "ipam": {"mode": "kubernetes"},
        "hubble": {"ui": {"enabled": True}},
    }

    found = values(linkerd=True, values=own)

    assert found["socketLB"] == {"hostNamespaceOnly": False}
    assert found["ipam"] == {"mode": "kubernetes"}
    assert found["hubble"] == {"enabled": True, "tls": PROVIDED, "relay": {"enabled": False}, "ui": {"enabled": True}}


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["192.0.2.1", "2001:db8::1"], {"ips": ["192.0.2.1", "2001:db8::1"]}),
        (["mesh.example.com"], {"address": "mesh.example.com"}),
        # A name is in the peer's certificate; an address beside it would not be.
        (["mesh.example.com", "192.0.2.1"], {"address": "mesh.example.com"}),
        ([], {"address": ""}),
    ],
)
def test_a_peer_is_told_of_by_its_addresses_or_by_one_name(addresses: list[str], expected: dict[str, Any]) -> None:
    assert peer_values("east", addresses, 2379) == {"name": "east", "port": 2379, **expected}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "a.example.com"}]}}, 2),
        ({"loadBalancer": {"ingress": [{"ip": None, "hostname": "a.example.com", "ipMode": "VIP"}, {}]}}, 1),
        ({"loadBalancer": {"ingress": None}}, 0),
        ({"loadBalancer": None}, 0),
        ({}, 0),
    ],
)
def test_a_load_balancers_addresses_are_ips_and_names_if_there_are_any(status: dict[str, Any], expected: int) -> None:
    assert load_balancer.load_balancer_addresses(status) == ["192.0.2.1", "a.example.com"][-expected:] * bool(expected)


@pytest.mark.parametrize("affinity", ["local", "remote", "none"])
def test_a_global_service_is_shared_by_all_or_by_those_that_are_named(affinity: str) -> None:
    def told(**said: Any) -> list[str]:
        found = service_annotations(UserlistConfig.model_validate({"affinity": affinity, **said}), "west")
        return [found[f"service.cilium.io/{key}"] for key in ("global", "shared", "affinity")]

    assert told() == told(shared=["east", "west"]) == ["true", "true", affinity]
    assert told(shared=["east"]) == told(shared=[]) == ["true", "false", affinity]


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.14.1", (1, 14)), ("v1.19.0-rc.1", (1, 19)), ("1.9.0+build.7", (1, 9)), ("2.0.0", (2, 0))],
)
def test_versions_are_compared_by_their_numbers(version: str, expected: tuple[int, int]) -> None:
    assert minor_version(version) == expected
