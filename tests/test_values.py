"""The pure functions beside the components: what goes into charts, Links and credentials."""

from __future__ import annotations

import pytest
import yaml

from components.link import credentials_kubeconfig, gateway_addresses, link_spec, service_mirror_values
from components.linkerd import control_plane_values
from versions import LINKERD, LinkerdRelease

GATEWAY = {
    "mirror.linkerd.io/gateway-identity": "gateway.identity.example",
    "mirror.linkerd.io/probe-path": "/ready",
    "mirror.linkerd.io/probe-period": "3",
}
releases = pytest.mark.parametrize("release", LINKERD.values(), ids=lambda release: release.version)


@releases
def test_a_control_planes_values_hold_no_key_and_nothing_that_changes_by_itself(release: LinkerdRelease) -> None:
    values = control_plane_values(release, trust_anchor="ANCHOR", webhook_authority="WEBHOOKS")

    assert values["identity"] == {"issuer": {"scheme": "kubernetes.io/tls"}}
    for webhook in ("proxyInjector", "profileValidator", "policyValidator"):
        assert values[webhook] == {"externalSecret": True, "caBundle": "WEBHOOKS"}
    assert values["heartbeatSchedule"], "without one the chart takes it from the clock"
    assert values["linkerdVersion"] == release.tag


@releases
def test_a_link_says_what_the_gateways_service_says(release: LinkerdRelease) -> None:
    spec = link_spec(
        release,
        target="east",
        gateway_address="198.51.100.7",
        annotations=GATEWAY,
        ports={"mc-gateway": 4143, "mc-probe": 4191},
    )

    assert spec["gatewayAddress"] == "198.51.100.7"
    assert spec["gatewayPort"] == "4143"
    assert spec["gatewayIdentity"] == "gateway.identity.example"
    assert spec["probeSpec"] == {"path": "/ready", "port": "4191", "period": "3s"}
    assert spec["clusterCredentialsSecret"] == "cluster-credentials-east"
    assert ("remoteDiscoverySelector" in spec) == (release.version != "2.13.5"), "2.13's Link has no such field"


def test_a_gateway_has_ips_or_host_names_or_nothing_yet() -> None:
    assert gateway_addresses({"load_balancer": {"ingress": [{"ip": "198.51.100.7"}]}}) == "198.51.100.7"
    assert gateway_addresses({"load_balancer": {"ingress": [{"hostname": "lb.example.com"}]}}) == "lb.example.com"
    both = [{"ip": "198.51.100.7"}, {"hostname": "lb.example.com"}]
    assert gateway_addresses({"load_balancer": {"ingress": both}}) == "198.51.100.7,lb.example.com"
    assert gateway_addresses({}) == gateway_addresses({"load_balancer": {"ingress": None}}) == ""


def test_credentials_are_a_kubeconfig_with_one_token() -> None:
    content = yaml.safe_load(
        credentials_kubeconfig(
            target="east", server="https://192.0.2.1:6443", certificate_authority="Q0E=", token="a-token"
        )
    )

    assert content["current-context"] == "east"
    assert content["clusters"][0]["cluster"] == {
        "server": "https://192.0.2.1:6443",
        "certificate-authority-data": "Q0E=",
    }
    assert content["users"][0]["user"] == {"token": "a-token"}


def test_a_publicly_trusted_api_server_needs_no_authority_in_the_credentials() -> None:
    content = yaml.safe_load(
        credentials_kubeconfig(target="east", server="https://e.example.com", certificate_authority=None, token="t")
    )

    assert content["clusters"][0]["cluster"] == {"server": "https://e.example.com"}


def test_a_service_mirror_restarts_with_its_credentials() -> None:
    release = LINKERD["2.14.10"]
    one, other = (
        service_mirror_values(release, target="east", credentials_checksum=checksum, probe_port=4191)
        for checksum in ("one", "other")
    )

    assert one["credentialsChecksum"] != other["credentialsChecksum"]
    assert one["tag"] == "stable-2.14.10"
