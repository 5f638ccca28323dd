"""The values of extensions' charts, and of what a cluster may lack: pure functions beside the components."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from components.addons.gateway_api import add_adoption_annotations
from components.addons.ingress_nginx import ingress_nginx_values
from components.addons.metallb import metallb_values
from components.linkerd.control_plane import crds_values
from components.linkerd.jaeger import jaeger_values
from components.linkerd.smi import smi_values
from components.linkerd.viz import viz_values
from mesh import config
from mesh.linkerd_releases import LinkerdRelease, linkerd_release
from tests.helpers.cluster_settings import NEW, OLD, cluster

ALL: dict[str, Any] = {
    "viz": {},
    "jaeger": {},
    "smi": {},
    "metallb": {"pools": {"east": ["192.0.2.200-192.0.2.209"]}},
    "ingressNginx": {},
    "gatewayApi": {},
}
PULL = [{"name": "of-the-company"}]
PINNED = {"externalSecret": True, "caBundle": "WEBHOOKS"}
Values = dict[str, Any]


def viz(of: config.ClusterSettings, pull: list[dict[str, str]] | None = None) -> Values:
    return viz_values(of, webhook_authority="WEBHOOKS", pull=pull)


def jaeger(of: config.ClusterSettings, pull: list[dict[str, str]] | None = None) -> Values:
    return jaeger_values(of, webhook_authority="WEBHOOKS", pull=pull)


CHARTS: dict[str, Callable[..., Values]] = {
    "linkerd-viz": viz,
    "linkerd-jaeger": jaeger,
    "linkerd-smi": smi_values,
    "metallb": metallb_values,
    "ingress-nginx": ingress_nginx_values,
}
charts = pytest.mark.parametrize("chart", CHARTS)
of_linkerd = pytest.mark.parametrize("chart", ["linkerd-viz", "linkerd-jaeger", "linkerd-smi"])
releases = pytest.mark.parametrize("release", [NEW, OLD], ids=lambda release: release.version)


def keys(values: Any) -> list[str]:
    """All keys, however deep."""
    if isinstance(values, dict):
        return [*values, *(key for value in values.values() for key in keys(value))]
    return [key for value in values for key in keys(value)] if isinstance(values, list) else []


@charts
def test_no_key_is_among_the_values_and_no_credentials_unless_there_are_some(chart: str) -> None:
    found = CHARTS[chart](cluster(extensions=ALL))

    assert not {"keyPEM", "crtPEM", "tls", "imagePullSecrets"} & set(keys(found))
    assert "PRIVATE KEY" not in json.dumps(found)


@charts
def test_credentials_for_images_are_named(chart: str) -> None:
    assert CHARTS[chart](cluster(extensions=ALL), PULL)["imagePullSecrets"] == PULL


@of_linkerd
def test_a_users_values_come_last(chart: str) -> None:
    own = {"imagePullSecrets": [{"name": "mine"}], "linkerdNamespace": "mine", "other": {"deep": 1}}

    found = CHARTS[chart](cluster(extensions=ALL, linkerd={"values": {chart: own}}), PULL)

    assert own.items() <= found.items()


@pytest.mark.parametrize(("chart", "key"), [("metallb", "metallb"), ("ingress-nginx", "ingressNginx")])
def test_values_of_what_is_not_linkerds_stand_beside_its_version(chart: str, key: str) -> None:
    own = {"controller": {"service": {"type": "ClusterIP"}}, "speaker": {"frr": {"enabled": True}}}

    found = CHARTS[chart](cluster(extensions={**ALL, key: {**ALL[key], "values": own}}))

    assert found["controller"]["service"]["type"] == "ClusterIP"
    assert found["speaker"]["frr"]["enabled"] is True


@releases
def test_viz_and_jaeger_are_those_of_the_release_and_know_where_linkerd_is(release: LinkerdRelease) -> None:
    linkerd = {"namespace": "mesh", "clusterDomain": "cluster.example", "trustDomain": "mesh.example"}
    found = cluster(extensions=ALL, linkerd=linkerd, release=release)

    for values in (viz(found), jaeger(found)):
        assert (values["linkerdVersion"], values["linkerdNamespace"]) == (release.tag, "mesh")
        assert values["clusterDomain"] == "cluster.example"
    assert viz(found)["identityTrustDomain"] == "mesh.example"
    assert jaeger(found)["webhook"]["image"]["version"] == release.tag
    smi = smi_values(found)
    assert (smi["clusterDomain"], smi["linkerdNamespace"]) == ("cluster.example", "mesh")


def test_the_certificates_of_webhooks_are_pinned() -> None:
    found = cluster(extensions=ALL)

    assert viz(found)["tap"] == viz(found)["tapInjector"] == PINNED
    assert PINNED.items() <= jaeger(found)["webhook"].items()


def test_pods_of_extensions_go_where_linkerds_go() -> None:
    linkerd = {"nodeSelector": {"pool": "mesh"}, "tolerations": [{"key": "mesh", "operator": "Exists"}]}
    nodes = {
        "nodeSelector": {"kubernetes.io/os": "linux", "pool": "mesh"},
        "tolerations": [{"key": "mesh", "operator": "Exists"}],
    }
    found = cluster(extensions=ALL, linkerd=linkerd)

    placed = [viz(found), viz(found)["metricsAPI"], viz(found)["prometheus"]]
    placed += [jaeger(found)[part] for part in ("collector", "jaeger", "webhook")]
    placed += [smi_values(found)["adaptor"]]

    assert all(nodes.items() <= part.items() for part in placed)


def test_linkerds_own_images_come_from_the_registry() -> None:
    closed = cluster(extensions=ALL, linkerd={"registry": "registry.example.com/l5d"})
    somewhere = cluster(extensions=ALL)

    assert viz(closed)["defaultRegistry"] == "registry.example.com/l5d"
    assert jaeger(closed)["webhook"]["image"]["name"] == "registry.example.com/l5d/jaeger-webhook"
    assert smi_values(closed)["adaptor"]["image"] == {"registry": "registry.example.com/l5d"}
    assert "defaultRegistry" not in viz(somewhere)
    assert "name" not in jaeger(somewhere)["webhook"]["image"]
    assert "image" not in smi_values(somewhere)["adaptor"]


def test_viz_is_highly_available_where_linkerd_is_and_a_user_still_has_the_last_word() -> None:
    said = {"highAvailability": True, "values": {"linkerd-viz": {"tap": {"replicas": 2}}}}

    plain, found = viz(cluster(extensions=ALL)), viz(cluster(extensions=ALL, linkerd=said))

    assert "enablePodAntiAffinity" not in plain
    assert plain["tap"] == PINNED
    assert found["enablePodAntiAffinity"] is True
    assert found["tap"]["replicas"] == 2
    assert PINNED.items() <= found["tap"].items()
    assert found["prometheus"]["resources"]["memory"] == {"limit": "8192Mi", "request": "300Mi"}
    assert found["prometheus"]["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_a_prometheus_that_is_there_takes_the_place_of_vizs_own() -> None:
    wanted = {**ALL, "viz": {"prometheusUrl": "http://prometheus.monitoring.svc:9090"}}

    found = viz(cluster(extensions=wanted))

    assert found["prometheusUrl"] == "http://prometheus.monitoring.svc:9090"
    assert found["prometheus"] == {"enabled": False}
    assert "prometheusUrl" not in viz(cluster(extensions=ALL))


def test_metallb_speaks_no_bgp_and_its_webhook_holds_nothing_up() -> None:
    assert metallb_values(cluster(extensions=ALL)) == {
        "crds": {"validationFailurePolicy": "Ignore"},
        "speaker": {"frr": {"enabled": False}},
    }


def test_ingress_nginx_allows_snippets_only_for_the_dashboard() -> None:
    plain = ingress_nginx_values(cluster(extensions=ALL))["controller"]
    wanted = {**ALL, "viz": {"dashboard": {"ingressClass": "internal"}}}
    found = ingress_nginx_values(cluster(extensions=wanted))["controller"]

    assert plain == {
        "admissionWebhooks": {"enabled": False},
        "enableAnnotationValidations": True,
        "service": {"type": "LoadBalancer"},
    }
    assert found["allowSnippetAnnotations"] is True
    assert found["config"] == {"annotations-risk-level": "Critical"}
    assert found["ingressClass"] == found["ingressClassResource"]["name"] == "internal"


def test_ingress_nginx_waits_for_no_address_where_nothing_gives_one() -> None:
    found = ingress_nginx_values(cluster(gateway={"loadBalancer": {"enabled": False}}, extensions=ALL))

    assert found["controller"]["service"] == {"type": "NodePort"}
    nodes = ingress_nginx_values(cluster(gateway={"nodePort": {"port": 30143, "probePort": 30191}}, extensions=ALL))
    assert nodes["controller"]["service"] == {"type": "NodePort"}


@pytest.mark.parametrize(
    ("version", "own", "beside"),
    [
        ("2.13.5", {}, {}),
        ("2.14.10", {}, {"enableHttpRoutes": False}),
        ("2.16", {}, {"enableHttpRoutes": False}),
        ("2.17", {}, dict.fromkeys(("enableHttpRoutes", "enableTlsRoutes", "enableTcpRoutes"), False)),
        ("2.18", {"installGatewayAPI": True}, {"installGatewayAPI": False}),
        ("2.20", {"installGatewayAPI": True}, {"installGatewayAPI": False}),
    ],
)
def test_linkerds_crds_leave_the_gateway_apis_to_whoever_else_brings_them(
    version: str, own: Values, beside: Values
) -> None:
    release = linkerd_release(version)
    assert release is not None

    assert crds_values(cluster(release=release)) == own
    assert crds_values(cluster(extensions=ALL, release=release)) == beside
    assert crds_values(cluster(extensions={"gatewayApi": {"install": False}}, release=release)) == beside


def test_a_users_values_of_linkerds_crds_come_last() -> None:
    own = {"values": {"linkerd-crds": {"enableHttpRoutes": True}}}

    assert crds_values(cluster(extensions=ALL, linkerd=own)) == {"enableHttpRoutes": True}


def test_crds_of_a_manifest_are_taken_over_where_they_are_and_left_by_helm() -> None:
    props = {"metadata": {"name": "httproutes", "annotations": {"bundle": "v1.2.1"}}, "spec": {"group": "gateway"}}

    found = add_adoption_annotations("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", props)

    assert found["spec"] == props["spec"]
    assert found["metadata"] == {
        "name": "httproutes",
        "annotations": {"bundle": "v1.2.1", "pulumi.com/patchForce": "true", "helm.sh/resource-policy": "keep"},
    }
    assert add_adoption_annotations("kubernetes:core/v1:Namespace", props) == props
