"""Helm values of extensions and add-ons."""

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
from mesh.linkerd_releases import LinkerdRelease, find_linkerd_release
from tests.helpers.cluster_settings import NEWER_RELEASE, OLDER_RELEASE, build_cluster_settings

ALL_EXTENSIONS: dict[str, Any] = {
    "viz": {},
    "jaeger": {},
    "smi": {},
    "metallb": {"pools": {"east": ["192.0.2.200-192.0.2.209"]}},
    "ingressNginx": {},
    "gatewayApi": {},
}
PULL_SECRETS = [{"name": "of-the-company"}]
PINNED_CERTIFICATE = {"externalSecret": True, "caBundle": "WEBHOOKS"}
Values = dict[str, Any]


def build_viz_values(settings: config.ClusterSettings, pull_secrets: list[dict[str, str]] | None = None) -> Values:
    return viz_values(settings, webhook_authority="WEBHOOKS", pull_secrets=pull_secrets)


def build_jaeger_values(settings: config.ClusterSettings, pull_secrets: list[dict[str, str]] | None = None) -> Values:
    return jaeger_values(settings, webhook_authority="WEBHOOKS", pull_secrets=pull_secrets)


CHARTS: dict[str, Callable[..., Values]] = {
    "linkerd-viz": build_viz_values,
    "linkerd-jaeger": build_jaeger_values,
    "linkerd-smi": smi_values,
    "metallb": metallb_values,
    "ingress-nginx": ingress_nginx_values,
}
charts = pytest.mark.parametrize("chart", CHARTS)
linkerd_charts = pytest.mark.parametrize("chart", ["linkerd-viz", "linkerd-jaeger", "linkerd-smi"])
linkerd_releases = pytest.mark.parametrize(
    "linkerd_release", [NEWER_RELEASE, OLDER_RELEASE], ids=lambda linkerd_release: linkerd_release.version
)


def collect_keys(values: Any) -> list[str]:
    """Return all keys at any depth."""
    if isinstance(values, dict):
        return [*values, *(key for value in values.values() for key in collect_keys(value))]
    return [key for value in values for key in collect_keys(value)] if isinstance(values, list) else []


@charts
def test_values_contain_no_key_and_no_default_credentials(chart: str) -> None:
    values = CHARTS[chart](build_cluster_settings(extensions=ALL_EXTENSIONS))

    assert not {"keyPEM", "crtPEM", "tls", "imagePullSecrets"} & set(collect_keys(values))
    assert "PRIVATE KEY" not in json.dumps(values)


@charts
def test_image_pull_secrets_are_referenced(chart: str) -> None:
    assert (
        CHARTS[chart](build_cluster_settings(extensions=ALL_EXTENSIONS), PULL_SECRETS)["imagePullSecrets"]
        == PULL_SECRETS
    )


@linkerd_charts
def test_user_values_override_defaults(chart: str) -> None:
    own = {"imagePullSecrets": [{"name": "mine"}], "linkerdNamespace": "mine", "other": {"deep": 1}}

    values = CHARTS[chart](
        build_cluster_settings(extensions=ALL_EXTENSIONS, linkerd={"values": {chart: own}}), PULL_SECRETS
    )

    assert own.items() <= values.items()


@pytest.mark.parametrize(("chart", "key"), [("metallb", "metallb"), ("ingress-nginx", "ingressNginx")])
def test_addon_values_override_defaults(chart: str, key: str) -> None:
    own = {"controller": {"service": {"type": "ClusterIP"}}, "speaker": {"frr": {"enabled": True}}}

    values = CHARTS[chart](
        build_cluster_settings(extensions={**ALL_EXTENSIONS, key: {**ALL_EXTENSIONS[key], "values": own}})
    )

    assert values["controller"]["service"]["type"] == "ClusterIP"
    assert values["speaker"]["frr"]["enabled"] is True


@linkerd_releases
def test_extensions_match_release_and_location_of_linkerd(linkerd_release: LinkerdRelease) -> None:
    linkerd = {"namespace": "mesh", "clusterDomain": "cluster.example", "trustDomain": "mesh.example"}
    settings = build_cluster_settings(extensions=ALL_EXTENSIONS, linkerd=linkerd, linkerd_release=linkerd_release)

    for values in (build_viz_values(settings), build_jaeger_values(settings)):
        assert (values["linkerdVersion"], values["linkerdNamespace"]) == (linkerd_release.tag, "mesh")
        assert values["clusterDomain"] == "cluster.example"
    assert build_viz_values(settings)["identityTrustDomain"] == "mesh.example"
    assert build_jaeger_values(settings)["webhook"]["image"]["version"] == linkerd_release.tag
    smi = smi_values(settings)
    assert (smi["clusterDomain"], smi["linkerdNamespace"]) == ("cluster.example", "mesh")


def test_webhook_certificates_are_pinned() -> None:
    settings = build_cluster_settings(extensions=ALL_EXTENSIONS)

    assert build_viz_values(settings)["tap"] == build_viz_values(settings)["tapInjector"] == PINNED_CERTIFICATE
    assert PINNED_CERTIFICATE.items() <= build_jaeger_values(settings)["webhook"].items()


def test_extension_pods_follow_node_placement_of_linkerd() -> None:
    linkerd = {"nodeSelector": {"pool": "mesh"}, "tolerations": [{"key": "mesh", "operator": "Exists"}]}
    nodes = {
        "nodeSelector": {"kubernetes.io/os": "linux", "pool": "mesh"},
        "tolerations": [{"key": "mesh", "operator": "Exists"}],
    }
    settings = build_cluster_settings(extensions=ALL_EXTENSIONS, linkerd=linkerd)

    pod_values = [
        build_viz_values(settings),
        build_viz_values(settings)["metricsAPI"],
        build_viz_values(settings)["prometheus"],
    ]
    pod_values += [build_jaeger_values(settings)[part] for part in ("collector", "jaeger", "webhook")]
    pod_values += [smi_values(settings)["adaptor"]]

    assert all(nodes.items() <= part.items() for part in pod_values)


def test_linkerd_images_come_from_configured_registry() -> None:
    with_registry = build_cluster_settings(extensions=ALL_EXTENSIONS, linkerd={"registry": "registry.example.com/l5d"})
    without_registry = build_cluster_settings(extensions=ALL_EXTENSIONS)

    assert build_viz_values(with_registry)["defaultRegistry"] == "registry.example.com/l5d"
    assert build_jaeger_values(with_registry)["webhook"]["image"]["name"] == "registry.example.com/l5d/jaeger-webhook"
    assert smi_values(with_registry)["adaptor"]["image"] == {"registry": "registry.example.com/l5d"}
    assert "defaultRegistry" not in build_viz_values(without_registry)
    assert "name" not in build_jaeger_values(without_registry)["webhook"]["image"]
    assert "image" not in smi_values(without_registry)["adaptor"]


def test_user_values_override_high_availability_of_viz() -> None:
    linkerd = {"highAvailability": True, "values": {"linkerd-viz": {"tap": {"replicas": 2}}}}

    defaults, values = (
        build_viz_values(build_cluster_settings(extensions=ALL_EXTENSIONS)),
        build_viz_values(build_cluster_settings(extensions=ALL_EXTENSIONS, linkerd=linkerd)),
    )

    assert "enablePodAntiAffinity" not in defaults
    assert defaults["tap"] == PINNED_CERTIFICATE
    assert values["enablePodAntiAffinity"] is True
    assert values["tap"]["replicas"] == 2
    assert PINNED_CERTIFICATE.items() <= values["tap"].items()
    assert values["prometheus"]["resources"]["memory"] == {"limit": "8192Mi", "request": "300Mi"}
    assert values["prometheus"]["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_existing_prometheus_replaces_prometheus_of_viz() -> None:
    extensions = {**ALL_EXTENSIONS, "viz": {"prometheusUrl": "http://prometheus.monitoring.svc:9090"}}

    values = build_viz_values(build_cluster_settings(extensions=extensions))

    assert values["prometheusUrl"] == "http://prometheus.monitoring.svc:9090"
    assert values["prometheus"] == {"enabled": False}
    assert "prometheusUrl" not in build_viz_values(build_cluster_settings(extensions=ALL_EXTENSIONS))


def test_metallb_has_no_bgp_and_non_blocking_webhook() -> None:
    assert metallb_values(build_cluster_settings(extensions=ALL_EXTENSIONS)) == {
        "crds": {"validationFailurePolicy": "Ignore"},
        "speaker": {"frr": {"enabled": False}},
    }


def test_ingress_nginx_allows_snippets_only_for_dashboard() -> None:
    defaults = ingress_nginx_values(build_cluster_settings(extensions=ALL_EXTENSIONS))["controller"]
    extensions = {**ALL_EXTENSIONS, "viz": {"dashboard": {"ingressClass": "internal"}}}
    values = ingress_nginx_values(build_cluster_settings(extensions=extensions))["controller"]

    assert defaults == {
        "admissionWebhooks": {"enabled": False},
        "enableAnnotationValidations": True,
        "service": {"type": "LoadBalancer"},
    }
    assert values["allowSnippetAnnotations"] is True
    assert values["config"] == {"annotations-risk-level": "Critical"}
    assert values["ingressClass"] == values["ingressClassResource"]["name"] == "internal"


def test_ingress_nginx_without_load_balancer_awaits_no_address() -> None:
    without_load_balancer = ingress_nginx_values(
        build_cluster_settings(gateway={"loadBalancer": {"enabled": False}}, extensions=ALL_EXTENSIONS)
    )

    assert without_load_balancer["controller"]["service"] == {"type": "NodePort"}
    not_awaited = ingress_nginx_values(
        build_cluster_settings(gateway={"loadBalancer": {"await": False}}, extensions=ALL_EXTENSIONS)
    )
    assert not_awaited["controller"]["service"] == {"type": "NodePort"}
    with_node_port = ingress_nginx_values(
        build_cluster_settings(gateway={"nodePort": {"port": 30143, "probePort": 30191}}, extensions=ALL_EXTENSIONS)
    )
    assert with_node_port["controller"]["service"] == {"type": "NodePort"}


@pytest.mark.parametrize(
    ("version", "alone", "with_gateway_api"),
    [
        ("2.13.5", {}, {}),
        ("2.14.10", {}, {"enableHttpRoutes": False}),
        ("2.16", {}, {"enableHttpRoutes": False}),
        ("2.17", {}, dict.fromkeys(("enableHttpRoutes", "enableTlsRoutes", "enableTcpRoutes"), False)),
        ("2.18", {"installGatewayAPI": True}, {"installGatewayAPI": False}),
        ("2.20", {"installGatewayAPI": True}, {"installGatewayAPI": False}),
    ],
)
def test_linkerd_crds_omit_separately_managed_gateway_api(
    version: str, alone: Values, with_gateway_api: Values
) -> None:
    linkerd_release = find_linkerd_release(version)
    assert linkerd_release is not None

    assert crds_values(build_cluster_settings(linkerd_release=linkerd_release)) == alone
    assert (
        crds_values(build_cluster_settings(extensions=ALL_EXTENSIONS, linkerd_release=linkerd_release))
        == with_gateway_api
    )
    assert (
        crds_values(
            build_cluster_settings(extensions={"gatewayApi": {"install": False}}, linkerd_release=linkerd_release)
        )
        == with_gateway_api
    )


def test_user_values_override_values_of_linkerd_crds() -> None:
    linkerd = {"values": {"linkerd-crds": {"enableHttpRoutes": True}}}

    assert crds_values(build_cluster_settings(extensions=ALL_EXTENSIONS, linkerd=linkerd)) == {"enableHttpRoutes": True}


def test_crds_of_manifest_are_adopted_and_retained() -> None:
    props = {"metadata": {"name": "httproutes", "annotations": {"bundle": "v1.2.1"}}, "spec": {"group": "gateway"}}

    adopted = add_adoption_annotations("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", props)

    assert adopted["spec"] == props["spec"]
    assert adopted["metadata"] == {
        "name": "httproutes",
        "annotations": {"bundle": "v1.2.1", "pulumi.com/patchForce": "true", "helm.sh/resource-policy": "keep"},
    }
    assert add_adoption_annotations("kubernetes:core/v1:Namespace", props) == props
