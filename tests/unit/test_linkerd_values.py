"""Helm values, Links and credentials of Linkerd."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.linkerd.cni import cni_values
from components.linkerd.control_plane import control_plane_values
from components.linkerd.identity_issuer import certificate_spec
from components.linkerd.link_credentials import render_kubeconfig
from components.linkerd.link_spec import link_spec
from components.linkerd.multicluster import multicluster_values
from components.linkerd.service_mirror import service_mirror_values
from components.sdk import load_balancer
from mesh.config.models.trust import CertManagerConfig
from mesh.gateway_spec import gateway_ports
from mesh.linkerd_releases import LINKERD_RELEASES, LinkerdRelease
from tests.helpers.cluster_settings import NEWER_RELEASE, OLDER_RELEASE, build_cluster_settings

all_linkerd_releases = pytest.mark.parametrize(
    "linkerd_release", LINKERD_RELEASES.values(), ids=lambda linkerd_release: linkerd_release.version
)


def build_values(**linkerd: Any) -> dict[str, Any]:
    return control_plane_values(
        build_cluster_settings(linkerd=linkerd), trust_anchor="ANCHOR", webhook_authority="WEBHOOKS"
    )


@all_linkerd_releases
def test_control_plane_values_are_deterministic_and_contain_no_key(linkerd_release: LinkerdRelease) -> None:
    values = control_plane_values(
        build_cluster_settings(linkerd_release=linkerd_release), trust_anchor="ANCHOR", webhook_authority="WEBHOOKS"
    )

    assert values["identity"] == {"issuer": {"scheme": "kubernetes.io/tls"}}
    for webhook in ("proxyInjector", "profileValidator", "policyValidator"):
        assert values[webhook] == {"externalSecret": True, "caBundle": "WEBHOOKS"}
    assert values["heartbeatSchedule"], "the chart would derive a missing schedule from the clock"
    assert values["linkerdVersion"] == linkerd_release.tag


def test_domains_policy_and_nodes_come_from_cluster() -> None:
    control_plane = build_values(
        clusterDomain="cluster.example",
        trustDomain="mesh.example",
        defaultInboundPolicy="deny",
        cni=True,
        nodeSelector={"pool": "mesh"},
        tolerations=[{"key": "mesh", "operator": "Exists", "tolerationSeconds": 5}],
    )

    assert (control_plane["clusterDomain"], control_plane["identityTrustDomain"]) == ("cluster.example", "mesh.example")
    assert control_plane["proxy"]["defaultInboundPolicy"] == "deny"
    assert control_plane["cniEnabled"] is True
    assert control_plane["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "mesh"}
    assert control_plane["tolerations"] == [{"key": "mesh", "operator": "Exists", "tolerationSeconds": 5}]


def test_user_values_override_high_availability_values() -> None:
    control_plane = build_values(
        highAvailability=True,
        values={"linkerd-control-plane": {"controllerReplicas": 5, "proxy": {"resources": {"cpu": {"limit": "1"}}}}},
    )

    assert control_plane["proxy"]["defaultInboundPolicy"] == "all-unauthenticated"
    assert control_plane["webhookFailurePolicy"] == "Fail"
    assert control_plane["controllerReplicas"] == 5
    assert control_plane["proxy"]["resources"]["cpu"] == {"request": "100m", "limit": "1"}


def test_all_images_come_from_registry_with_pull_secrets() -> None:
    with_registry = build_cluster_settings(
        linkerd={"registry": "registry.example.com/l5d", "imagePullSecrets": ["own"]}
    )
    pull_secrets = [{"name": "own"}]

    control_plane = control_plane_values(
        with_registry, trust_anchor="A", webhook_authority="W", pull_secrets=pull_secrets
    )
    images = [
        control_plane["controllerImage"],
        *(control_plane[key]["image"]["name"] for key in ("policyController", "proxy")),
    ]
    images += [control_plane["proxyInit"]["image"]["name"], control_plane["debugContainer"]["image"]["name"]]
    images += [
        cni_values(with_registry, pull_secrets)["image"]["name"],
        multicluster_values(with_registry)["gateway"]["pauseImage"],
    ]
    images += [service_mirror_values(with_registry, build_cluster_settings(), credentials_checksum="x")["image"]]

    assert all(image.startswith("registry.example.com/l5d/") for image in images), images
    for chart in (
        control_plane,
        cni_values(with_registry, pull_secrets),
        multicluster_values(with_registry, pull_secrets),
    ):
        assert chart["imagePullSecrets"] == pull_secrets


def test_gateway_values_follow_gateway_settings_of_cluster() -> None:
    load_balancer_config = {"annotations": {"lb.example/internal": "true"}, "sourceRanges": ["192.0.2.0/24"]}
    gateway = multicluster_values(build_cluster_settings(gateway={"loadBalancer": load_balancer_config}))["gateway"]
    assert (gateway["serviceType"], gateway["enabled"]) == ("LoadBalancer", True)
    assert gateway["serviceAnnotations"] == {"lb.example/internal": "true"}
    assert gateway["loadBalancerSourceRanges"] == ["192.0.2.0/24"]

    gateway = multicluster_values(build_cluster_settings(gateway={"nodePort": {"port": 30143, "probePort": 30191}}))[
        "gateway"
    ]
    assert (gateway["serviceType"], gateway["nodePort"], gateway["probe"]["nodePort"]) == ("NodePort", 30143, 30191)

    assert multicluster_values(build_cluster_settings(gateway={"enabled": False}))["gateway"]["enabled"] is False


@pytest.mark.parametrize(
    ("gateway", "service_type"),
    [
        ({}, "LoadBalancer"),
        ({"loadBalancer": {"await": False}}, "LoadBalancer"),
        ({"addresses": ["192.0.2.20"]}, "LoadBalancer"),
        ({"loadBalancer": False}, "ClusterIP"),
        ({"loadBalancer": False, "addresses": ["192.0.2.20"]}, "ClusterIP"),
        ({"nodePort": {"port": 30143, "probePort": 30191}}, "NodePort"),
        ({"enabled": False}, None),
    ],
)
def test_service_type_follows_gateway_exposure(gateway: dict[str, Any], service_type: str | None) -> None:
    values = multicluster_values(build_cluster_settings(gateway=gateway))["gateway"]

    assert (values.get("serviceType"), values["enabled"]) == (service_type, service_type is not None)


def test_only_load_balancer_service_has_source_ranges() -> None:
    load_balancer_config = {"enabled": False, "sourceRanges": ["192.0.2.0/24"]}
    values = multicluster_values(build_cluster_settings(gateway={"loadBalancer": load_balancer_config}))

    assert values["gateway"]["loadBalancerSourceRanges"] == [], "the API server rejects them for a ClusterIP"


@pytest.mark.parametrize(
    ("load_balancer_config", "annotations"),
    [
        (True, {}),
        (False, {"multicluster-mesh/exposure": "none"}),
        ({"public": True}, {"multicluster-mesh/exposure": "public"}),
        ({"sourceRanges": ["192.0.2.0/24"]}, {}),
    ],
)
def test_gateway_service_has_annotation_of_configured_exposure(
    load_balancer_config: Any, annotations: dict[str, str]
) -> None:
    assert (
        multicluster_values(build_cluster_settings(gateway={"loadBalancer": load_balancer_config}))["gateway"][
            "serviceAnnotations"
        ]
        == annotations
    )


@all_linkerd_releases
def test_link_refers_to_gateway_of_target(linkerd_release: LinkerdRelease) -> None:
    spec = link_spec(build_cluster_settings(linkerd_release=linkerd_release), gateway_address="198.51.100.7")

    assert spec["gatewayAddress"] == "198.51.100.7"
    assert spec["gatewayPort"] == "4143"
    assert spec["gatewayIdentity"] == (
        "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
    )
    assert spec["probeSpec"] == {"path": "/ready", "port": "4191", "period": "3s"}
    assert spec["clusterCredentialsSecret"] == "cluster-credentials-east"
    assert ("remoteDiscoverySelector" in spec) == (linkerd_release.version != "2.13.5"), "2.13's Link has no such field"


def test_link_follows_settings_and_gateway_values_of_target() -> None:
    target = build_cluster_settings(
        linkerd={
            "namespace": "mesh",
            "trustDomain": "mesh.example",
            "clusterDomain": "east.example",
            "values": {"linkerd-multicluster": {"gateway": {"port": 5143, "probe": {"path": "/alive", "seconds": 9}}}},
        }
    )

    spec = link_spec(target, gateway_address="gw.example.com")

    assert spec["targetClusterDomain"] == "east.example"
    assert spec["targetClusterLinkerdNamespace"] == "mesh"
    assert spec["gatewayIdentity"].endswith(".serviceaccount.identity.mesh.mesh.example")
    assert spec["gatewayPort"] == "5143"
    assert spec["probeSpec"] == {"path": "/alive", "port": "4191", "period": "9s"}


def test_link_ports_are_service_node_or_configured_ports() -> None:
    assert gateway_ports(build_cluster_settings()) == (4143, 4191)
    assert gateway_ports(build_cluster_settings(gateway={"nodePort": {"port": 30143, "probePort": 30191}})) == (
        30143,
        30191,
    )
    assert gateway_ports(build_cluster_settings(gateway={"port": 443, "probePort": 8443})) == (443, 8443)


def test_flat_link_has_no_gateway_and_no_probe() -> None:
    spec = link_spec(build_cluster_settings(), gateway_address=None)
    mirror = service_mirror_values(
        build_cluster_settings("west"), build_cluster_settings(), credentials_checksum="x", has_gateway=False
    )

    assert (spec["gatewayAddress"], spec["selector"]) == ("", {"matchExpressions": []})
    assert spec["remoteDiscoverySelector"]["matchLabels"] == {"mirror.linkerd.io/exported": "remote-discovery"}
    assert mirror["probePort"] == 0


def test_load_balancer_has_ips_host_names_or_no_address() -> None:
    assert load_balancer.load_balancer_addresses({"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}) == [
        "198.51.100.7"
    ]
    both = [{"ip": "198.51.100.7"}, {"hostname": "lb.example.com"}]
    assert load_balancer.load_balancer_addresses({"loadBalancer": {"ingress": both}}) == [
        "198.51.100.7",
        "lb.example.com",
    ]
    assert (
        load_balancer.load_balancer_addresses({})
        == load_balancer.load_balancer_addresses({"loadBalancer": {"ingress": None}})
        == []
    )


def test_credentials_are_kubeconfig_with_one_token() -> None:
    content = yaml.safe_load(
        render_kubeconfig(target="east", server="https://192.0.2.1:6443", certificate_authority="Q0E=", token="a-token")
    )

    assert content["current-context"] == "east"
    assert content["clusters"][0]["cluster"] == {
        "server": "https://192.0.2.1:6443",
        "certificate-authority-data": "Q0E=",
    }
    assert content["users"][0]["user"] == {"token": "a-token"}


def test_publicly_trusted_api_server_needs_no_authority() -> None:
    content = yaml.safe_load(
        render_kubeconfig(target="east", server="https://e.example.com", certificate_authority=None, token="t")
    )

    assert content["clusters"][0]["cluster"] == {"server": "https://e.example.com"}


def test_service_mirror_restarts_with_new_credentials() -> None:
    one, other = (
        service_mirror_values(build_cluster_settings("west"), build_cluster_settings(), credentials_checksum=checksum)
        for checksum in ("one", "other")
    )

    assert one["credentialsChecksum"] != other["credentialsChecksum"]
    assert one["tag"] == "stable-2.14.10"


def test_highly_available_mirror_needs_leader_election_for_replicas() -> None:
    linkerd = {"highAvailability": True}
    newer, older = (
        service_mirror_values(
            build_cluster_settings(linkerd=linkerd, linkerd_release=linkerd_release),
            build_cluster_settings(),
            credentials_checksum="x",
        )
        for linkerd_release in (NEWER_RELEASE, OLDER_RELEASE)
    )

    assert newer["replicas"] == 3
    assert "replicas" not in older


def test_certificate_spec_requests_issuer_that_linkerd_accepts() -> None:
    default = certificate_spec("identity.linkerd.cluster.local", CertManagerConfig())
    with_issuer_ref = CertManagerConfig.model_validate({"issuerRef": {"name": "vault"}, "duration": 96})

    assert (default["duration"], default["renewBefore"]) == ("48h0m0s", "25h0m0s")
    assert default["isCA"] is True
    assert default["privateKey"]["algorithm"] == "ECDSA"
    assert default["issuerRef"]["kind"] == "Issuer"
    referring = certificate_spec("identity.linkerd.cluster.local", with_issuer_ref)
    assert referring["issuerRef"] == {"name": "vault", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert referring["duration"] == "96h0m0s"
