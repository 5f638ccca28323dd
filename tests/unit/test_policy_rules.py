"""Policy rules on cluster identifiers, certificate lifetimes, gateways and namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.kube.constants import EXPOSURE_ANNOTATION
from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET
from policy import RULES, LifetimeLimits, find_violations
from policy.charts import chart_name
from tests.helpers.planned_resources import broken_rules, check_resources, planned_release, planned_resource

PROVIDER = "pulumi:providers:kubernetes"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
SIGNED = "tls:index/locallySignedCert:LocallySignedCert"


def test_provider_without_cluster_identifier_is_reported() -> None:
    assert broken_rules(planned_resource(PROVIDER, clusterIdentifier="west")) == []
    assert broken_rules(planned_resource(PROVIDER, clusterIdentifier=UNKNOWN_VALUE)) == []
    assert broken_rules(planned_resource(PROVIDER, context="west")) == [("identifiers", "clusterIdentifier")]
    assert broken_rules(planned_resource(PROVIDER, clusterIdentifier="")) == [("identifiers", "clusterIdentifier")]
    assert broken_rules(planned_resource("pulumi:providers:tls")) == []


def test_resource_on_default_provider_is_reported() -> None:
    urn = "urn:pulumi:prod::mesh::pulumi:providers:kubernetes::"

    assert broken_rules(planned_resource("kubernetes:core/v1:Secret", provider=f"{urn}west::id")) == []
    assert broken_rules(planned_resource("kubernetes:core/v1:Secret", provider=f"{urn}default_4_25_0::id")) == [
        ("identifiers", "provider")
    ]
    # The rule reports the resources of a default provider, not the provider.
    assert broken_rules(planned_resource(PROVIDER, name="default_4_25_0")) == []


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        (SELF_SIGNED, {"isCaCertificate": True, "validityPeriodHours": 10 * 8760}),
        (SELF_SIGNED, {"isCaCertificate": True, "validityPeriodHours": 10 * 8784.0}),
        (SIGNED, {"validityPeriodHours": 8760, "earlyRenewalHours": 1440}),
        (SIGNED, {"isCaCertificate": True, "validityPeriodHours": 24, "earlyRenewalHours": 23}),
        (SIGNED, {"validityPeriodHours": UNKNOWN_VALUE, "earlyRenewalHours": 23}),
        (SIGNED, {}),
    ],
    ids=["anchor", "anchor-in-leap-years", "certificate", "shortest-authority", "unknown-validity", "no-validity"],
)
def test_certificate_within_limits_passes(kind: str, properties: dict[str, Any]) -> None:
    assert broken_rules(planned_resource(kind, **properties)) == []


@pytest.mark.parametrize(
    ("kind", "properties", "path", "message"),
    [
        (
            SELF_SIGNED,
            {"isCaCertificate": True, "validityPeriodHours": 87841},
            "validityPeriodHours",
            "87841 hours are",
        ),
        (
            SELF_SIGNED,
            {"isCaCertificate": True, "validityPeriodHours": 8760e3},
            "validityPeriodHours",
            "8760000 hours",
        ),
        (SELF_SIGNED, {"validityPeriodHours": 87600}, "validityPeriodHours", "are more than 8784 (1 year)"),
        (SIGNED, {"isCaCertificate": True, "validityPeriodHours": 8785}, "validityPeriodHours", "more than 8784"),
        (SIGNED, {"validityPeriodHours": 23}, "validityPeriodHours", "23 hours are less than 24"),
        (SIGNED, {"validityPeriodHours": 48, "earlyRenewalHours": 48}, "earlyRenewalHours", "the validity of 48 hours"),
    ],
)
def test_certificate_outside_limits_is_reported(kind: str, properties: dict[str, Any], path: str, message: str) -> None:
    (violation,) = check_resources(planned_resource(kind, **properties))

    assert (violation.rule, violation.path) == ("lifetimes", path)
    assert message in violation.line()
    assert violation.line().endswith("; change trust.lifetimes in the stack file")


def test_lifetime_limits_are_configurable() -> None:
    certificate = planned_resource(SIGNED, validityPeriodHours=8760)

    assert [each.path for each in find_violations([certificate], LifetimeLimits(certificate=720))] == [
        "validityPeriodHours"
    ]
    assert find_violations([certificate], LifetimeLimits(shortest=8760)) == []


MULTICLUSTER = "/charts/linkerd-multicluster-30.11.11.tgz"
PUBLIC = {EXPOSURE_ANNOTATION: "public"}


@pytest.mark.parametrize(
    "gateway",
    [
        {"serviceType": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24", "2001:db8::/32"]},
        {"serviceType": "LoadBalancer", "serviceAnnotations": PUBLIC},
        {"serviceType": "LoadBalancer", "serviceAnnotations": {EXPOSURE_ANNOTATION: "none"}},
        {"serviceType": "LoadBalancer", "loadBalancerSourceRanges": ["0.0.0.0/0"], "serviceAnnotations": PUBLIC},
        {"serviceType": "LoadBalancer", "loadBalancerSourceRanges": UNKNOWN_VALUE},
        {"serviceType": "NodePort"},
        {"enabled": False},
    ],
    ids=["ranges", "public", "exposure-none", "public-with-all-ranges", "unknown-ranges", "node-port", "disabled"],
)
def test_gateway_with_ranges_or_explicit_exposure_passes(gateway: dict[str, Any]) -> None:
    assert broken_rules(planned_release({"gateway": gateway}, chart=MULTICLUSTER)) == []


@pytest.mark.parametrize(
    ("gateway", "path"),
    [
        ({}, "loadBalancerSourceRanges"),
        ({"serviceType": "LoadBalancer", "loadBalancerSourceRanges": []}, "loadBalancerSourceRanges"),
        ({"serviceAnnotations": {EXPOSURE_ANNOTATION: "everybody", "other": "public"}}, "loadBalancerSourceRanges"),
        ({"loadBalancerSourceRanges": ["10.0.0.0/8", "0.0.0.0/0"]}, "loadBalancerSourceRanges[1]"),
        ({"loadBalancerSourceRanges": ["::/0"]}, "loadBalancerSourceRanges[0]"),
    ],
)
def test_public_gateway_without_flag_is_reported(gateway: dict[str, Any], path: str) -> None:
    (violation,) = check_resources(planned_release({"gateway": gateway}, chart=MULTICLUSTER))

    assert (violation.rule, violation.path, violation.level) == ("gateways", f"values.gateway.{path}", "advisory")
    assert "gateway.loadBalancer.public: true" in violation.remedy


def test_ingress_and_service_load_balancers_are_checked() -> None:
    service = {"type": "LoadBalancer"}
    ranges = {"loadBalancerSourceRanges": ["192.0.2.0/24"]}
    kind = "kubernetes:core/v1:Service"

    assert broken_rules(
        planned_release({"controller": {"service": service}}, chart="oci://example.com/ingress-nginx", version="1")
    ) == [("gateways", "values.controller.service.loadBalancerSourceRanges")]
    assert broken_rules(planned_release({"controller": {"service": service | ranges}}, chart="ingress-nginx")) == []
    assert broken_rules(planned_release({"controller": {"service": service}}, chart="another")) == []
    assert broken_rules(planned_resource(kind, spec=service)) == [("gateways", "spec.loadBalancerSourceRanges")]
    assert broken_rules(planned_resource(kind, spec=service | ranges)) == []
    assert broken_rules(planned_resource(kind, spec=service, metadata={"annotations": PUBLIC})) == []
    assert broken_rules(planned_resource(kind, spec={"type": "ClusterIP"})) == []
    assert broken_rules(planned_resource(kind, spec=UNKNOWN_VALUE)) == []


def test_exposure_annotation_has_documented_name() -> None:
    assert EXPOSURE_ANNOTATION == "multicluster-mesh/exposure"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("linkerd-multicluster", "linkerd-multicluster"),
        ("./charts/service-mirror/", "service-mirror"),
        ("/charts/linkerd2-cni-30.12.2.tgz", "linkerd2-cni"),
        ("/charts/metallb-v0.14.9-rc.1.tgz", "metallb"),
        ("oci://host:5000/team/ingress-nginx", "ingress-nginx"),
        (None, ""),
    ],
)
def test_chart_name_is_independent_of_source(source: str | None, name: str) -> None:
    assert chart_name(planned_resource("kubernetes:helm.sh/v3:Release", chart=source)) == name


@pytest.mark.parametrize(
    ("metadata", "is_reported"),
    [
        ({"labels": {"app.kubernetes.io/part-of": "multicluster-mesh"}}, False),
        ({"labels": {"app.kubernetes.io/managed-by": "somebody"}}, False),
        ({"labels": UNKNOWN_VALUE}, False),
        ({"labels": {"linkerd.io/extension": "viz"}}, True),
        ({"labels": {"app.kubernetes.io/part-of": ""}}, True),
        ({"labels": None}, True),
        (None, True),
    ],
    ids=["part-of", "managed-by", "unknown-labels", "other-label", "empty-label", "no-labels", "no-metadata"],
)
def test_namespace_without_owner_label_is_reported(metadata: Any, is_reported: bool) -> None:
    namespace = planned_resource("kubernetes:core/v1:Namespace", metadata=metadata)

    assert broken_rules(namespace) == ([("namespaces", "metadata.labels")] if is_reported else [])


def test_violations_are_sorted_and_unique() -> None:
    one, two = planned_resource(PROVIDER, name="a"), planned_resource(PROVIDER, name="b")

    assert find_violations([two, one, one]) == find_violations([one, two])
    assert [each.name for each in find_violations([two, one])] == ["a", "b"]


def test_enforcement_level_of_rule_is_configurable() -> None:
    provider = planned_resource(PROVIDER)

    assert [each.level for each in find_violations([provider])] == ["mandatory"]
    assert [each.is_mandatory for each in find_violations([provider], levels={"identifiers": "advisory"})] == [False]
    assert find_violations([provider], levels={"identifiers": "disabled"}) == []


def test_secret_inputs_break_only_keys_and_namespaces_rules() -> None:
    kinds = [PROVIDER, SELF_SIGNED, SIGNED, "kubernetes:core/v1:Service", "kubernetes:core/v1:Namespace"]
    keys = ["clusterIdentifier", "validityPeriodHours", "spec", "metadata", "chart", "values"]
    for hidden in (SECRET, UNKNOWN_VALUE):
        for kind in [*kinds, "kubernetes:apps/v1:Deployment", "kubernetes:helm.sh/v3:Release"]:
            rules = {rule for rule, _ in broken_rules(planned_resource(kind, **dict.fromkeys(keys, hidden)))}
            assert rules <= ({"keys"} if hidden == SECRET else set()) | {"namespaces"}, kind


def test_rule_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES) == 6
