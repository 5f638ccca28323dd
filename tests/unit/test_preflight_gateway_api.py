"""Preflight check of the Gateway API's CRDs from Linkerd's chart, a manifest or another owner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh import config, preflight
from mesh.preflight import CheckTarget, Severity
from mesh.preflight.declared_target import find_declared_target
from mesh.preflight.runner import PreflightReport
from mesh.preflight.target import GatewayApiTarget
from mesh.traffic_changes import TrafficChanges
from tests.helpers.fake_api_server import IDENTITY, FakeApiServer, healthy_server, only_finding, run_checks_against
from tests.helpers.stack_files import Environment

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
V1 = "gateway.networking.k8s.io/v1"
HELM_ANNOTATIONS = {"meta.helm.sh/release-name": "linkerd-crds", "meta.helm.sh/release-namespace": "linkerd"}
SPLITS = [{"cluster": "west", "weights": {"west": 1, "east": 1}}]
PULUMI_MANAGED_FIELDS = [{"manager": "pulumi-kubernetes-1c8e9d96", "operation": "Apply"}]


def gateway_api_target(installed_by: Any, *resources: tuple[str, str]) -> GatewayApiTarget:
    return GatewayApiTarget(
        installed_by=installed_by, required_routes=resources or (("httproutes", V1),), oldest="1.2.1", newest="1.5.1"
    )


def server_with_crds(
    *names: str, resources: tuple[str, ...] = ("httproutes",), bundle: str = "v1.2.1", **metadata: Any
) -> FakeApiServer:
    """Return an API server with these CRDs."""
    api_server = healthy_server()
    crd_metadata = {"annotations": {"gateway.networking.k8s.io/bundle-version": bundle}, **metadata}
    crds = [{"metadata": {"name": f"{name}.gateway.networking.k8s.io", **crd_metadata}} for name in names]
    api_server.objects[CRDS] = {"items": [{"metadata": {"name": "servers.policy.linkerd.io"}}, *crds]}
    api_server.objects[f"/apis/{V1}"] = {"resources": [{"name": name} for name in resources]}
    return api_server


@pytest.mark.parametrize("installed_by", ["linkerd-crds", "manifest"])
def test_missing_crds_can_be_installed(installed_by: str) -> None:
    assert run_checks_against(server_with_crds(), gateway_api=gateway_api_target(installed_by)) == []


@pytest.mark.parametrize("installed_by", ["linkerd-crds", "manifest"])
def test_crds_of_linkerds_release_are_accepted(installed_by: str) -> None:
    api_server = server_with_crds("httproutes", "grpcroutes", annotations=HELM_ANNOTATIONS)

    assert run_checks_against(api_server, gateway_api=gateway_api_target(installed_by)) == []


def test_foreign_crds_are_error_with_linkerds_chart() -> None:
    finding = only_finding(server_with_crds("httproutes", "tlsroutes"), gateway_api=gateway_api_target("linkerd-crds"))

    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        "clusters.west: httproutes.gateway.networking.k8s.io, tlsroutes.gateway.networking.k8s.io: does not "
        "belong to the Helm release linkerd-crds, so Helm would refuse to install that release (invalid ownership "
        "metadata); set extensions.gatewayApi: { install: false }, or keep extensions.gatewayApi as it was if that "
        "setting installed them"
    )


def test_crds_taken_over_by_manifest_stay_with_manifest() -> None:
    api_server = server_with_crds("httproutes", annotations=HELM_ANNOTATIONS, managedFields=PULUMI_MANAGED_FIELDS)

    assert only_finding(api_server, gateway_api=gateway_api_target("linkerd-crds")).severity is Severity.ERROR
    assert run_checks_against(api_server, gateway_api=gateway_api_target("manifest")) == []


@pytest.mark.parametrize("adopt", [False, True])
def test_manifest_never_takes_over_foreign_crds(adopt: bool) -> None:
    finding = only_finding(server_with_crds("httproutes"), gateway_api=gateway_api_target("manifest"), adopt=adopt)

    assert finding.severity is Severity.ERROR
    assert "`destroy` would delete it with all routes of all users" in finding.rule
    assert finding.remedy == "set extensions.gatewayApi: { install: false }"


def test_crds_of_linkerd_cli_are_removed_with_it() -> None:
    server = server_with_crds("httproutes", annotations={"linkerd.io/created-by": "linkerd/cli stable-2.14.10"})

    finding = only_finding(server, gateway_api=gateway_api_target("linkerd-crds"))

    assert "linkerd uninstall | kubectl delete -f -" in finding.remedy
    assert "install: false" not in finding.remedy


def test_crds_declared_as_installed_must_exist() -> None:
    finding = only_finding(server_with_crds("gateways"), gateway_api=gateway_api_target("others"))

    assert (finding.value, finding.severity) == ("httproutes.gateway.networking.k8s.io", Severity.ERROR)
    assert "expects the Gateway API on the cluster" in finding.rule


def test_external_crds_owned_by_helm_need_keep_annotation() -> None:
    bundle = {"gateway.networking.k8s.io/bundle-version": "v1.2.1"}

    finding = only_finding(
        server_with_crds("httproutes", annotations={**HELM_ANNOTATIONS, **bundle}),
        gateway_api=gateway_api_target("others"),
    )

    assert finding.severity is Severity.ERROR
    assert finding.remedy.endswith("annotate crd httproutes.gateway.networking.k8s.io helm.sh/resource-policy=keep")
    annotations = {**HELM_ANNOTATIONS, **bundle, "helm.sh/resource-policy": "keep"}
    assert (
        run_checks_against(
            server_with_crds("httproutes", annotations=annotations), gateway_api=gateway_api_target("others")
        )
        == []
    )


@pytest.mark.parametrize("bundle", ["v1.2.1", "v1.5.1", "v1.4.0-rc.1"])
def test_supported_gateway_api_version_is_accepted(bundle: str) -> None:
    assert (
        run_checks_against(server_with_crds("httproutes", bundle=bundle), gateway_api=gateway_api_target("others"))
        == []
    )


@pytest.mark.parametrize("bundle", ["v1.1.1", "v1.6.0", "v0.7.1-dev", "main", ""])
def test_unsupported_gateway_api_version_is_warning(bundle: str) -> None:
    finding = only_finding(server_with_crds("httproutes", bundle=bundle), gateway_api=gateway_api_target("others"))

    assert finding.severity is Severity.WARNING
    assert finding.rule == "Linkerd 2.14.10 supports 1.2.1 to 1.5.1 of the Gateway API"
    assert (bundle or "without a version") in finding.value


def test_each_route_kind_must_be_served_in_required_version() -> None:
    api_server = server_with_crds("httproutes", "grpcroutes")
    both = gateway_api_target("others", ("httproutes", V1), ("grpcroutes", V1))

    finding = only_finding(api_server, gateway_api=both)

    assert (finding.value, finding.severity) == ("grpcroutes.gateway.networking.k8s.io", Severity.ERROR)
    assert V1 in finding.rule
    assert api_server.requests.count(f"GET /apis/{V1}") == api_server.requests.count(f"GET {CRDS}") == 1


def test_unserved_gateway_api_version_is_error() -> None:
    api_server = server_with_crds("httproutes")
    del api_server.objects[f"/apis/{V1}"]

    assert only_finding(api_server, gateway_api=gateway_api_target("others")).severity is Severity.ERROR


def test_unreadable_crds_are_warning() -> None:
    api_server = server_with_crds("httproutes")
    api_server.statuses[CRDS] = 403

    finding = only_finding(api_server, gateway_api=gateway_api_target("others"))

    assert finding.severity is Severity.WARNING
    assert "the owner of the Gateway API's CRDs" in finding.rule


def resolve_target(patch: pytest.MonkeyPatch, environment: Environment, **content: Any) -> GatewayApiTarget | None:
    """Return the Gateway API settings that the preflight checks use for a stack file."""
    captured: list[CheckTarget] = []

    def run(targets: list[CheckTarget], *_: Any, **__: Any) -> PreflightReport:
        captured.extend(targets)
        return PreflightReport(findings=(), uids={})

    patch.setattr("mesh.preflight.stack.run_checks", run)
    stack = config.parse({"clusters": {"west": {}}, **content}, environment)
    preflight.check_stack(stack, identity=IDENTITY, changes=TrafficChanges(), namespaces=[], is_update=True, warn=print)
    return captured[0].gateway_api


@pytest.mark.parametrize(
    ("version", "gateway_api", "installed_by", "newest"),
    [
        ("2.14.10", None, "linkerd-crds", "1.1.1"),
        ("2.17", True, "manifest", "1.1.1"),
        ("2.20", None, "linkerd-crds", "1.5.1"),
        ("2.19", {"install": False}, "others", "1.2.1"),
    ],
)
def test_gateway_api_target_follows_stack_file(
    monkeypatch: pytest.MonkeyPatch,
    environment: Environment,
    version: str,
    gateway_api: Any,
    installed_by: str,
    newest: str,
) -> None:
    extensions = {} if gateway_api is None else {"extensions": {"gatewayApi": gateway_api}}

    target = resolve_target(monkeypatch, environment, linkerd={"version": version}, **extensions)

    assert target is not None
    assert (target.installed_by, target.newest) == (installed_by, newest)
    assert [resource for resource, _ in target.required_routes] == ["httproutes"]


def test_grpc_sample_requires_grpc_routes(monkeypatch: pytest.MonkeyPatch, environment: Environment) -> None:
    splits = [{"cluster": "west", "weights": {"west": 1}}]

    target = resolve_target(
        monkeypatch, environment, linkerd={"version": "2.17"}, workloads=[{"podinfo": {"splits": splits}}]
    )

    assert target is not None
    assert dict(target.required_routes) == {
        "httproutes": "gateway.networking.k8s.io/v1beta1",
        "grpcroutes": "gateway.networking.k8s.io/v1alpha2",
    }


@pytest.mark.parametrize(
    ("profile", "count"), [({}, 1), ({"profile": {"form": "gateway-api"}}, 1), ({"profile": True}, 0)], ids=repr
)
@pytest.mark.parametrize("kind", ["sample", "service"])
def test_service_profile_replaces_grpc_routes(
    monkeypatch: pytest.MonkeyPatch, environment: Environment, profile: dict[str, Any], count: int, kind: str
) -> None:
    splits: dict[str, Any] = {"splits": [{"cluster": "west", "weights": {"west": 1}}]}
    stack: dict[str, Any] = {"workloads": [{"podinfo": {**splits, **profile}}]}
    if kind == "service":
        routes = [{"method": "GET", "pathRegex": "/"}]
        profile = {key: {"routes": routes, **(value if value is not True else {})} for key, value in profile.items()}
        ports = [{"port": 80, "protocol": "grpc"}]
        stack = {"services": {"shop/cart": {"clusters": ["west"], "ports": ports, **splits, **profile}}}

    target = resolve_target(monkeypatch, environment, linkerd={"version": "2.17"}, **stack)

    assert target is not None
    assert [resource for resource, _ in target.required_routes].count("grpcroutes") == count


@pytest.mark.parametrize(
    "linkerd",
    [{"version": "2.13.5"}, {"values": {"linkerd-crds": {"enableHttpRoutes": False}}}],
    ids=["2.13.5", "http-routes-disabled"],
)
def test_gateway_api_is_not_checked_when_unused(
    monkeypatch: pytest.MonkeyPatch, environment: Environment, linkerd: dict[str, Any]
) -> None:
    assert resolve_target(monkeypatch, environment, linkerd=linkerd) is None


@pytest.mark.parametrize(("stack_id", "count"), [(IDENTITY.id, 0), ("another-stack", 1)])
def test_crds_of_stack_are_known_by_its_id(stack_id: str, count: int) -> None:
    annotations = {"gateway.networking.k8s.io/bundle-version": "v1.2.1", "multicluster-mesh/stack-id": stack_id}
    # Objects of all Pulumi stacks have such a field manager; one that was created on a rebuilt cluster has none.
    managers = PULUMI_MANAGED_FIELDS if count else []
    api_server = server_with_crds("httproutes", annotations=annotations, managedFields=managers)

    assert len(run_checks_against(api_server, gateway_api=gateway_api_target("manifest"))) == count


@pytest.mark.parametrize(
    ("service", "app_protocol", "count"),
    [
        ({"splits": SPLITS}, "grpc", 1),
        ({"failover": [{"cluster": "west", "to": ["east"]}]}, "grpc", 1),
        ({"splits": SPLITS}, "http", 0),
        ({"splits": SPLITS, "ports": [{"port": 80, "protocol": "http"}]}, "grpc", 0),
        ({"splits": SPLITS, "profile": {"routes": [{"method": "GET", "pathRegex": "/"}]}}, "grpc", 0),
        ({}, "grpc", 0),
    ],
    ids=["split", "failover", "http", "protocol-in-settings", "service-profile", "no-split"],
)
def test_grpc_port_requires_grpc_routes(
    environment: Environment, service: dict[str, Any], app_protocol: str, count: int
) -> None:
    service = {"exported": ["east"], "clusters": ["west", "east"], **service}
    content = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh"}
    settings = config.parse({**content, "services": {"shop/cart": service}}, environment)
    declared = replace(find_declared_target(settings, settings.clusters[0]), mirrors=())
    api_server = server_with_crds("httproutes")
    port = {"port": 80, "appProtocol": app_protocol}
    live = {"metadata": {}, "spec": {"ports": [port], "selector": {"app": "cart"}}}
    api_server.objects["/api/v1/namespaces/shop/services/cart"] = live
    target = replace(gateway_api_target("others"), grpc_route=V1)

    findings = run_checks_against(api_server, gateway_api=target, declared=declared)

    assert [each.value for each in findings] == ["grpcroutes.gateway.networking.k8s.io"] * count
