"""Preflight: the Gateway API's CRDs, where Linkerd's chart, a manifest or somebody else brings them."""

from __future__ import annotations

from typing import Any

import pytest

from mesh import config as settings
from mesh import preflight
from mesh.preflight import CheckTarget, Severity
from mesh.preflight.target import GatewayApiTarget
from tests.helpers.fake_api_server import FakeApiServer, healthy_server, only_finding, run_checks_against
from tests.helpers.stack_files import Environment

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
V1 = "gateway.networking.k8s.io/v1"
HELM = {"meta.helm.sh/release-name": "linkerd-crds", "meta.helm.sh/release-namespace": "linkerd"}
OF_PULUMI = [{"manager": "pulumi-kubernetes-1c8e9d96", "operation": "Apply"}]


def wanted(brought_by: Any, *served: tuple[str, str]) -> GatewayApiTarget:
    return GatewayApiTarget(
        brought_by=brought_by, served=served or (("httproutes", V1),), oldest="1.2.1", newest="1.5.1"
    )


def cluster(
    *names: str, served: tuple[str, ...] = ("httproutes",), bundle: str = "v1.2.1", **metadata: Any
) -> FakeApiServer:
    """A cluster with these CRDs."""
    found = healthy_server()
    said = {"annotations": {"gateway.networking.k8s.io/bundle-version": bundle}, **metadata}
    crds = [{"metadata": {"name": f"{name}.gateway.networking.k8s.io", **said}} for name in names]
    found.objects[CRDS] = {"items": [{"metadata": {"name": "servers.policy.linkerd.io"}}, *crds]}
    found.objects[f"/apis/{V1}"] = {"resources": [{"name": name} for name in served]}
    return found


@pytest.mark.parametrize("brought_by", ["linkerd-crds", "manifest"])
def test_where_there_are_none_they_can_be_brought(brought_by: str) -> None:
    assert run_checks_against(cluster(), gateway_api=wanted(brought_by)) == []


@pytest.mark.parametrize("brought_by", ["linkerd-crds", "manifest"])
def test_those_of_linkerds_release_are_its_own_or_taken_over(brought_by: str) -> None:
    found = cluster("httproutes", "grpcroutes", annotations=HELM)

    assert run_checks_against(found, gateway_api=wanted(brought_by)) == []


def test_helm_would_refuse_those_of_somebody_else() -> None:
    found = only_finding(cluster("httproutes", "tlsroutes"), gateway_api=wanted("linkerd-crds"))

    assert found.severity is Severity.ERROR
    assert str(found) == (
        "clusters.west: httproutes.gateway.networking.k8s.io, tlsroutes.gateway.networking.k8s.io: not the Helm "
        "release's linkerd-crds, so Helm would refuse to install it (invalid ownership metadata); set "
        "extensions.gatewayApi: { install: false }, or leave extensions.gatewayApi as it was where it has "
        "installed them"
    )


def test_helm_must_not_take_back_what_a_manifest_has_taken_over() -> None:
    taken = cluster("httproutes", annotations=HELM, managedFields=OF_PULUMI)

    assert only_finding(taken, gateway_api=wanted("linkerd-crds")).severity is Severity.ERROR
    assert run_checks_against(taken, gateway_api=wanted("manifest")) == []


def test_a_manifest_does_not_take_over_what_is_somebody_elses() -> None:
    found = only_finding(cluster("httproutes"), gateway_api=wanted("manifest"))

    assert found.severity is Severity.ERROR
    assert "`destroy` would delete it with all routes of everybody" in found.rule
    assert "install: false" in found.remedy
    assert run_checks_against(cluster("httproutes"), gateway_api=wanted("manifest"), adopt=True) == []


def test_what_is_said_to_be_there_must_be_there() -> None:
    found = only_finding(cluster("gateways"), gateway_api=wanted("others"))

    assert (found.value, found.severity) == ("httproutes.gateway.networking.k8s.io", Severity.ERROR)
    assert "is there already" in found.rule


def test_what_helm_would_delete_does_not_stay_there_by_itself() -> None:
    bundle = {"gateway.networking.k8s.io/bundle-version": "v1.2.1"}

    found = only_finding(cluster("httproutes", annotations={**HELM, **bundle}), gateway_api=wanted("others"))

    assert found.severity is Severity.ERROR
    assert found.remedy.endswith("annotate crd httproutes.gateway.networking.k8s.io helm.sh/resource-policy=keep")
    kept = {**HELM, **bundle, "helm.sh/resource-policy": "keep"}
    assert run_checks_against(cluster("httproutes", annotations=kept), gateway_api=wanted("others")) == []


@pytest.mark.parametrize("bundle", ["v1.2.1", "v1.5.1", "v1.4.0-rc.1"])
def test_a_version_that_linkerd_supports_is_right(bundle: str) -> None:
    assert run_checks_against(cluster("httproutes", bundle=bundle), gateway_api=wanted("others")) == []


@pytest.mark.parametrize("bundle", ["v1.1.1", "v1.6.0", "v0.7.1-dev", "main", ""])
def test_another_version_is_a_warning(bundle: str) -> None:
    found = only_finding(cluster("httproutes", bundle=bundle), gateway_api=wanted("others"))

    assert found.severity is Severity.WARNING
    assert found.rule == "Linkerd 2.14.10 supports 1.2.1 to 1.5.1 of the Gateway API"
    assert (bundle or "without a version") in found.value


def test_routes_must_be_served_in_the_version_that_linkerd_reads() -> None:
    there = cluster("httproutes", "grpcroutes")
    both = wanted("others", ("httproutes", V1), ("grpcroutes", V1))

    found = only_finding(there, gateway_api=both)

    assert (found.value, found.severity) == ("grpcroutes.gateway.networking.k8s.io", Severity.ERROR)
    assert V1 in found.rule
    assert there.requests.count(f"GET /apis/{V1}") == there.requests.count(f"GET {CRDS}") == 1


def test_a_version_that_is_not_served_at_all_is_an_error() -> None:
    there = cluster("httproutes")
    del there.objects[f"/apis/{V1}"]

    assert only_finding(there, gateway_api=wanted("others")).severity is Severity.ERROR


def test_who_may_not_look_is_told_so() -> None:
    there = cluster("httproutes")
    there.statuses[CRDS] = 403

    found = only_finding(there, gateway_api=wanted("others"))

    assert found.severity is Severity.WARNING
    assert "whose the Gateway API's CRDs are" in found.rule


def asked(patch: pytest.MonkeyPatch, environment: Environment, **config: Any) -> GatewayApiTarget | None:
    """What a stack file asks of its cluster."""
    found: list[CheckTarget] = []

    def run(questions: list[CheckTarget], *_: Any, **__: Any) -> list[Any]:
        found.extend(questions)
        return []

    patch.setattr("mesh.preflight.stack.run_checks", run)
    stack = settings.parse({"clusters": {"west": {}}, **config}, environment)
    preflight.require(stack, owner="me", namespaces=[], updating=True, warn=print)
    return found[0].gateway_api


@pytest.mark.parametrize(
    ("version", "gateway_api", "brought_by", "newest"),
    [
        ("2.14.10", None, "linkerd-crds", "1.1.1"),
        ("2.17", True, "manifest", "1.1.1"),
        ("2.20", None, "linkerd-crds", "1.5.1"),
        ("2.19", {"install": False}, "others", "1.2.1"),
    ],
)
def test_what_is_asked_is_what_the_stack_file_says(
    monkeypatch: pytest.MonkeyPatch,
    environment: Environment,
    version: str,
    gateway_api: Any,
    brought_by: str,
    newest: str,
) -> None:
    extensions = {} if gateway_api is None else {"extensions": {"gatewayApi": gateway_api}}

    found = asked(monkeypatch, environment, linkerd={"version": version}, **extensions)

    assert found is not None
    assert (found.brought_by, found.newest) == (brought_by, newest)
    assert [resource for resource, _ in found.served] == ["httproutes"]


def test_a_sample_with_grpc_needs_its_routes(monkeypatch: pytest.MonkeyPatch, environment: Environment) -> None:
    splits = [{"cluster": "west", "weights": {"west": 1}}]

    found = asked(monkeypatch, environment, linkerd={"version": "2.17"}, workloads=[{"podinfo": {"splits": splits}}])

    assert found is not None
    assert dict(found.served) == {
        "httproutes": "gateway.networking.k8s.io/v1beta1",
        "grpcroutes": "gateway.networking.k8s.io/v1alpha2",
    }


@pytest.mark.parametrize("linkerd", [{"version": "2.13.5"}, {"values": {"linkerd-crds": {"enableHttpRoutes": False}}}])
def test_where_nothing_brings_them_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, environment: Environment, linkerd: dict[str, Any]
) -> None:
    assert asked(monkeypatch, environment, linkerd=linkerd) is None
