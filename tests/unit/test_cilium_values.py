"""Helm values of Cilium, with the peers of a ClusterMesh."""

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
from tests.helpers.cluster_settings import build_cluster_settings

PEER = {"name": "east", "port": 32379, "ips": ["192.0.2.2"]}
PROVIDED_CERTIFICATES = {"auto": {"enabled": True, "method": "provided"}}


def build_member(**options: Any) -> config.ClusterSettings:
    defaults: dict[str, Any] = {"service": "NodePort", "addresses": (), "port": 32379, "annotations": {}, "values": {}}
    return replace(build_cluster_settings("west"), cilium=ClusterMeshMember(id=7, **{**defaults, **options}))


def build_values(cilium: dict[str, Any] | None = None, *, linkerd: bool = False, **options: Any) -> dict[str, Any]:
    return cilium_values(
        build_member(**options), CiliumConfig.model_validate(cilium or {}), [PEER], has_linkerd=linkerd
    )


def test_default_values_name_cluster_and_its_peers() -> None:
    assert build_values() == {
        "cluster": {"id": 7, "name": "west"},
        "clustermesh": {
            "useAPIServer": True,
            "config": {"enabled": True, "clusters": [PEER]},
            "apiserver": {
                "service": {"type": "NodePort", "nodePort": 32379},
                # The program creates the certificates, not the chart.
                "tls": {**PROVIDED_CERTIFICATES, "authMode": "cluster"},
            },
        },
        "hubble": {"enabled": True, "tls": PROVIDED_CERTIFICATES, "relay": {"enabled": False}},
        # With the chart's default, all clusters would have the same pod network.
        "ipam": {"mode": "kubernetes"},
    }


def test_values_with_linkerd_share_cni_and_sockets() -> None:
    values = build_values(linkerd=True)

    assert values.pop("cni") == {"exclusive": False}
    assert values.pop("socketLB") == {"hostNamespaceOnly": True}
    assert values == build_values()


@pytest.mark.parametrize(
    ("version", "service", "expected"),
    [
        ("1.14.1", "NodePort", {"type": "NodePort", "nodePort": 31000}),
        ("1.19.0", "NodePort", {"type": "NodePort", "nodePort": 31000}),
        # The program's own Service has the address of the load balancer.
        ("1.14.1", "LoadBalancer", {"type": "ClusterIP"}),
        # Since 1.16, the chart sets fields that Kubernetes rejects on a ClusterIP Service.
        ("1.19.0", "LoadBalancer", {"type": "NodePort", "nodePort": 0}),
        ("1.14.1", "ClusterIP", {"type": "ClusterIP"}),
        ("1.19.0", "ClusterIP", {"externallyCreated": True}),
    ],
)
def test_service_type_follows_exposure_of_api_server(version: str, service: str, expected: dict[str, Any]) -> None:
    cilium, annotations = {"nodePort": 31000, "version": version}, {"example.com/a": "b"}

    assert build_values(cilium, service=service)["clustermesh"]["apiserver"]["service"] == expected
    service_values = build_values(cilium, service=service, annotations=annotations)["clustermesh"]["apiserver"][
        "service"
    ]
    has_own_service = service == "LoadBalancer" or "externallyCreated" in expected
    assert service_values == expected | ({} if has_own_service else {"annotations": annotations})


@pytest.mark.parametrize(
    ("kvstoremesh", "expected"), [(None, None), (True, {"enabled": True}), (False, {"enabled": False})]
)
def test_unset_kvstoremesh_keeps_default_of_chart(kvstoremesh: bool | None, expected: Any) -> None:
    assert build_values({"kvstoremesh": kvstoremesh})["clustermesh"]["apiserver"].get("kvstoremesh") == expected


def test_cluster_limit_is_set_only_for_511() -> None:
    assert build_values({"maxConnectedClusters": 511})["clustermesh"]["maxConnectedClusters"] == 511
    assert "maxConnectedClusters" not in build_values({"maxConnectedClusters": 255})["clustermesh"]


def test_hubble_and_its_relay_are_optional() -> None:
    assert build_values({"hubble": False})["hubble"] == {"enabled": False, "tls": PROVIDED_CERTIFICATES}
    assert build_values({"hubble": {"relay": True}})["hubble"]["relay"] == {"enabled": True}


def test_values_of_cluster_override_defaults_key_by_key() -> None:
    own = {
        "socketLB": {"hostNamespaceOnly": False},
        "ipam": {"mode": "kubernetes"},
        "hubble": {"ui": {"enabled": True}},
    }

    values = build_values(linkerd=True, values=own)

    assert values["socketLB"] == {"hostNamespaceOnly": False}
    assert values["ipam"] == {"mode": "kubernetes"}
    assert values["hubble"] == {
        "enabled": True,
        "tls": PROVIDED_CERTIFICATES,
        "relay": {"enabled": False},
        "ui": {"enabled": True},
    }


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["192.0.2.1", "2001:db8::1"], {"ips": ["192.0.2.1", "2001:db8::1"]}),
        (["mesh.example.com"], {"address": "mesh.example.com"}),
        # The peer's certificate contains the host name, but not the address.
        (["mesh.example.com", "192.0.2.1"], {"address": "mesh.example.com"}),
        ([], {"address": ""}),
    ],
)
def test_peer_has_ip_addresses_or_one_host_name(addresses: list[str], expected: dict[str, Any]) -> None:
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
def test_load_balancer_addresses_are_ips_and_host_names(status: dict[str, Any], expected: int) -> None:
    assert load_balancer.load_balancer_addresses(status) == ["192.0.2.1", "a.example.com"][-expected:] * bool(expected)


@pytest.mark.parametrize("affinity", ["local", "remote", "none"])
def test_global_service_is_shared_by_all_or_listed_clusters(affinity: str) -> None:
    def annotation_values(**options: Any) -> list[str]:
        annotations = service_annotations(UserlistConfig.model_validate({"affinity": affinity, **options}), "west")
        return [annotations[f"service.cilium.io/{key}"] for key in ("global", "shared", "affinity")]

    assert annotation_values() == annotation_values(shared=["east", "west"]) == ["true", "true", affinity]
    assert annotation_values(shared=["east"]) == annotation_values(shared=[]) == ["true", "false", affinity]


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.14.1", (1, 14)), ("v1.19.0-rc.1", (1, 19)), ("1.9.0+build.7", (1, 9)), ("2.0.0", (2, 0))],
)
def test_minor_version_is_parsed_as_numbers(version: str, expected: tuple[int, int]) -> None:
    assert minor_version(version) == expected
