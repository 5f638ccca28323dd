"""The pure functions beside the components: what goes into charts, Links and credentials."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.linkerd.cni import cni_values
from components.linkerd.control_plane import control_plane_values
from components.linkerd.gateway_spec import gateway_ports
from components.linkerd.identity_issuer import certificate_spec
from components.linkerd.link_credentials import render_kubeconfig
from components.linkerd.link_spec import link_spec
from components.linkerd.multicluster import multicluster_values
from components.linkerd.service_mirror import service_mirror_values
from components.sdk import load_balancer
from mesh.config.models.stack_file import CertManagerConfig
from mesh.linkerd_releases import LINKERD_RELEASES, LinkerdRelease
from tests.helpers.cluster_settings import NEWER_RELEASE, OLDER_RELEASE, build_cluster_settings

releases = pytest.mark.parametrize("release", LINKERD_RELEASES.values(), ids=lambda release: release.version)


def values(**linkerd: Any) -> dict[str, Any]:
    return control_plane_values(
        build_cluster_settings(linkerd=linkerd), trust_anchor="ANCHOR", webhook_authority="WEBHOOKS"
    )


@releases
def test_a_control_planes_values_hold_no_key_and_nothing_that_changes_by_itself(release: LinkerdRelease) -> None:
    found = control_plane_values(
        build_cluster_settings(linkerd_release=release), trust_anchor="ANCHOR", webhook_authority="WEBHOOKS"
    )

    assert found["identity"] == {"issuer": {"scheme": "kubernetes.io/tls"}}
    for webhook in ("proxyInjector", "profileValidator", "policyValidator"):
        assert found[webhook] == {"externalSecret": True, "caBundle": "WEBHOOKS"}
    assert found["heartbeatSchedule"], "without one the chart takes it from the clock"
    assert found["linkerdVersion"] == release.tag


def test_domains_policy_and_nodes_are_the_clusters_own() -> None:
    found = values(
        clusterDomain="cluster.example",
        trustDomain="mesh.example",
        defaultInboundPolicy="deny",
        cni=True,
        nodeSelector={"pool": "mesh"},
        tolerations=[{"key": "mesh", "operator": "Exists", "tolerationSeconds": 5}],
    )

    assert (found["clusterDomain"], found["identityTrustDomain"]) == ("cluster.example", "mesh.example")
    assert found["proxy"]["defaultInboundPolicy"] == "deny"
    assert found["cniEnabled"] is True
    assert found["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "mesh"}
    assert found["tolerations"] == [{"key": "mesh", "operator": "Exists", "tolerationSeconds": 5}]


def test_high_availability_leaves_the_default_policy_where_it_is_and_a_users_values_come_last() -> None:
    found = values(
        highAvailability=True,
        values={"linkerd-control-plane": {"controllerReplicas": 5, "proxy": {"resources": {"cpu": {"limit": "1"}}}}},
    )

    assert found["proxy"]["defaultInboundPolicy"] == "all-unauthenticated"
    assert found["webhookFailurePolicy"] == "Fail"
    assert found["controllerReplicas"] == 5
    assert found["proxy"]["resources"]["cpu"] == {"request": "100m", "limit": "1"}


def test_every_image_of_the_control_plane_comes_from_the_registry_and_its_credentials_are_named() -> None:
    closed = build_cluster_settings(linkerd={"registry": "registry.example.com/l5d", "imagePullSecrets": ["own"]})
    pull = [{"name": "own"}]

    found = control_plane_values(closed, trust_anchor="A", webhook_authority="W", pull=pull)
    images = [found["controllerImage"], *(found[key]["image"]["name"] for key in ("policyController", "proxy"))]
    images += [found["proxyInit"]["image"]["name"], found["debugContainer"]["image"]["name"]]
    images += [cni_values(closed, pull)["image"]["name"], multicluster_values(closed)["gateway"]["pauseImage"]]
    images += [service_mirror_values(closed, build_cluster_settings(), credentials_checksum="x")["image"]]

    assert all(image.startswith("registry.example.com/l5d/") for image in images), images
    for chart in (found, cni_values(closed, pull), multicluster_values(closed, pull)):
        assert chart["imagePullSecrets"] == pull


def test_a_gateway_is_what_its_cluster_can_have() -> None:
    balanced = {"annotations": {"lb.example/internal": "true"}, "sourceRanges": ["192.0.2.0/24"]}
    found = multicluster_values(build_cluster_settings(gateway={"loadBalancer": balanced}))["gateway"]
    assert (found["serviceType"], found["enabled"]) == ("LoadBalancer", True)
    assert found["serviceAnnotations"] == {"lb.example/internal": "true"}
    assert found["loadBalancerSourceRanges"] == ["192.0.2.0/24"]

    found = multicluster_values(build_cluster_settings(gateway={"nodePort": {"port": 30143, "probePort": 30191}}))[
        "gateway"
    ]
    assert (found["serviceType"], found["nodePort"], found["probe"]["nodePort"]) == ("NodePort", 30143, 30191)

    assert multicluster_values(build_cluster_settings(gateway={"enabled": False}))["gateway"]["enabled"] is False


@pytest.mark.parametrize(
    ("balanced", "said"),
    [
        (True, {}),
        (False, {"multicluster-mesh/exposure": "none"}),
        ({"public": True}, {"multicluster-mesh/exposure": "public"}),
        ({"sourceRanges": ["192.0.2.0/24"]}, {}),
    ],
)
def test_a_gateways_service_says_what_the_stack_file_says_of_who_may_come_in(
    balanced: Any, said: dict[str, str]
) -> None:
    assert (
        multicluster_values(build_cluster_settings(gateway={"loadBalancer": balanced}))["gateway"]["serviceAnnotations"]
        == said
    )


@releases
def test_a_link_leads_to_the_targets_gateway(release: LinkerdRelease) -> None:
    spec = link_spec(build_cluster_settings(linkerd_release=release), gateway_address="198.51.100.7")

    assert spec["gatewayAddress"] == "198.51.100.7"
    assert spec["gatewayPort"] == "4143"
    assert spec["gatewayIdentity"] == (
        "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
    )
    assert spec["probeSpec"] == {"path": "/ready", "port": "4191", "period": "3s"}
    assert spec["clusterCredentialsSecret"] == "cluster-credentials-east"
    assert ("remoteDiscoverySelector" in spec) == (release.version != "2.13.5"), "2.13's Link has no such field"


def test_a_link_follows_the_targets_domains_namespace_and_gateway_values() -> None:
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


def test_a_links_ports_are_the_services_the_nodes_or_those_that_are_set() -> None:
    assert gateway_ports(build_cluster_settings()) == (4143, 4191)
    assert gateway_ports(build_cluster_settings(gateway={"nodePort": {"port": 30143, "probePort": 30191}})) == (
        30143,
        30191,
    )
    assert gateway_ports(build_cluster_settings(gateway={"port": 443, "probePort": 8443})) == (443, 8443)


def test_a_flat_link_has_no_gateway_and_its_mirror_no_probe() -> None:
    spec = link_spec(build_cluster_settings(), gateway_address=None)
    mirror = service_mirror_values(
        build_cluster_settings("west"), build_cluster_settings(), credentials_checksum="x", gateway=False
    )

    assert (spec["gatewayAddress"], spec["selector"]) == ("", {})
    assert spec["remoteDiscoverySelector"]["matchLabels"] == {"mirror.linkerd.io/exported": "remote-discovery"}
    assert mirror["probePort"] == 0


def test_a_load_balancer_has_given_ips_or_host_names_or_nothing_yet() -> None:
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


def test_credentials_are_a_kubeconfig_with_one_token() -> None:
    content = yaml.safe_load(
        render_kubeconfig(target="east", server="https://192.0.2.1:6443", certificate_authority="Q0E=", token="a-token")
    )

    assert content["current-context"] == "east"
    assert content["clusters"][0]["cluster"] == {
        "server": "https://192.0.2.1:6443",
        "certificate-authority-data": "Q0E=",
    }
    assert content["users"][0]["user"] == {"token": "a-token"}


def test_a_publicly_trusted_api_server_needs_no_authority_in_the_credentials() -> None:
    content = yaml.safe_load(
        render_kubeconfig(target="east", server="https://e.example.com", certificate_authority=None, token="t")
    )

    assert content["clusters"][0]["cluster"] == {"server": "https://e.example.com"}


def test_a_service_mirror_restarts_with_its_credentials() -> None:
    one, other = (
        service_mirror_values(build_cluster_settings("west"), build_cluster_settings(), credentials_checksum=checksum)
        for checksum in ("one", "other")
    )

    assert one["credentialsChecksum"] != other["credentialsChecksum"]
    assert one["tag"] == "stable-2.14.10"


def test_a_highly_available_mirror_has_replicas_only_where_they_elect_a_leader() -> None:
    linkerd = {"highAvailability": True}
    new, old = (
        service_mirror_values(
            build_cluster_settings(linkerd=linkerd, linkerd_release=release),
            build_cluster_settings(),
            credentials_checksum="x",
        )
        for release in (NEWER_RELEASE, OLDER_RELEASE)
    )

    assert new["replicas"] == 3
    assert "replicas" not in old


def test_cert_manager_is_asked_for_an_issuer_that_linkerd_takes() -> None:
    made = certificate_spec("identity.linkerd.cluster.local", CertManagerConfig())
    referred = CertManagerConfig.model_validate({"issuerRef": {"name": "vault"}, "duration": 96})

    assert (made["duration"], made["renewBefore"]) == ("48h0m0s", "25h0m0s")
    assert made["isCA"] is True
    assert made["privateKey"]["algorithm"] == "ECDSA"
    assert made["issuerRef"]["kind"] == "Issuer"
    found = certificate_spec("identity.linkerd.cluster.local", referred)
    assert found["issuerRef"] == {"name": "vault", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert found["duration"] == "96h0m0s"
