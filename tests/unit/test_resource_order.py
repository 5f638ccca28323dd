"""Hidden dependencies between resources, and resources that stay unchanged, on a mock engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.mock_engine import Recorder, RunProgram, mesh_config, without_secret_marks
from tests.helpers.stack_configs import shipped_config

pytestmark = pytest.mark.thorough  # runs the whole program for each case

REGISTRY_LOGIN = {"auths": {"registry.example.com": {"auth": "bG9naW4="}}}
FULL_CONFIG: dict[str, Any] = {
    **mesh_config("west", "east", links=[("west", "east"), ("east", "west")]),
    "linkerd": {"version": "2.14.10"},  # later ones lack jaeger, or deprecate smi
    "imagePullSecret": REGISTRY_LOGIN,
    "extensions": {
        "viz": {"dashboard": {"user": "ops"}},
        "gatewayApi": ["west"],
        "jaeger": True,
        "smi": True,
        "metallb": {"pools": {"west": ["192.0.2.1-192.0.2.9"], "east": ["192.0.2.11-192.0.2.19"]}},
        "ingressNginx": True,
    },
    "dashboardPassword": "open sesame",
    "buoyantCloud": {"west": "https://buoyant.example.com/agent.yaml?token=x"},
    "workloads": [
        {
            "podinfo": {
                "exported": ["west", "east"],
                "frontend": ["west"],
                "profile": True,
                "policy": "authorization-policy",
                "splits": [
                    {"cluster": "west", "weights": {"west": 1, "east": 1}},
                ],
            }
        },
        {"booksapp": {"namespace": "test", "clusters": ["west"], "exported": ["west"], "faultInjection": True}},
        {"emojivoto": {"clusters": ["west"], "policy": "server-authorization", "meshed": False}},
        {
            "helloworld": {
                "clusters": ["east"],
                "sleep": ["west"],
                "splits": [{"cluster": "east", "weights": {"east": 1}, "form": "gateway-api"}],
            }
        },
    ],
}
SECRET_KEYS = ["imagePullSecret", "dashboardPassword", "buoyantCloud"]
INJECTORS = {
    "ReleaseDrift west-linkerd-control-plane-drift",
    "ReleaseDrift west-viz-drift",
    "ReleaseDrift west-jaeger-drift",
}


@pytest.fixture(scope="module")
def full_stack(run: RunProgram) -> Recorder:
    """Return the resources of a stack with nearly every feature."""
    return run(FULL_CONFIG, secret=SECRET_KEYS)


def test_pods_wait_for_injectors_and_pull_secrets(
    full_stack: Recorder,
) -> None:
    deployments = [name for name in full_stack.inputs_of("Deployment") if name.startswith("west-")]

    assert len(deployments) == 12
    for name in deployments:
        cluster, namespace = name.split("-")[:2]
        credentials = f"Secret {cluster}-{namespace}-pull-secret"
        assert {*INJECTORS, credentials} <= full_stack.dependencies_of("Deployment", name), name


@pytest.mark.parametrize("name", ["viz", "jaeger"])
def test_injector_waits_for_linkerd_and_its_certificates(full_stack: Recorder, name: str) -> None:
    secrets = {
        "viz": {"Secret west-tap-secret", "Secret west-tap-injector-secret"},
        "jaeger": {"Secret west-jaeger-injector-secret"},
    }[name]

    before = full_stack.dependencies_of("Release", f"west-{name}")

    assert {"ReleaseDrift west-linkerd-control-plane-drift", f"Secret west-{name}-pull-secret", *secrets} <= before


@pytest.mark.parametrize(
    ("kind", "name", "release"),
    [
        (":TrafficSplit", "west-test-podinfo-split", "west-smi"),
        (":TrafficSplit", "west-test-booksapp-error-split", "west-smi"),
        (":HTTPRoute", "east-default-helloworld-split", "east-linkerd-control-plane"),
        (":ServiceProfile", "west-test-podinfo-profile", "west-linkerd-control-plane"),
        (":Server", "west-test-podinfo-podinfo-http-server", "west-linkerd-control-plane"),
        (":AuthorizationPolicy", "west-test-podinfo-podinfo-grpc-policy", "west-linkerd-control-plane"),
        (":MeshTLSAuthentication", "west-test-podinfo-podinfo-grpc-authentication", "west-linkerd-control-plane"),
        (":ServerAuthorization", "west-emojivoto-emojivoto-emoji-grpc-authorization", "west-linkerd-control-plane"),
        (":IPAddressPool", "west-metallb-pool", "west-metallb"),
        (":L2Advertisement", "west-metallb-advertisement", "west-metallb"),
    ],
)
def test_custom_object_waits_for_release_of_its_crd(full_stack: Recorder, kind: str, name: str, release: str) -> None:
    assert f"ReleaseDrift {release}-drift" in full_stack.dependencies_of(kind, name)


def test_control_plane_waits_for_crds_release(full_stack: Recorder) -> None:
    assert "ReleaseDrift west-linkerd-crds-drift" in full_stack.dependencies_of("Release", "west-linkerd-control-plane")


@pytest.mark.parametrize("name", ["west-multicluster", "west-ingress-nginx"])
def test_load_balancer_services_wait_for_metallb_pool(full_stack: Recorder, name: str) -> None:
    assert "L2Advertisement west-metallb-advertisement" in full_stack.dependencies_of("Release", name)
    assert "IPAddressPool west-metallb-pool" in full_stack.dependencies_of(
        ":L2Advertisement", "west-metallb-advertisement"
    )


def test_exported_service_and_mirrors_depend_on_gateway_and_links(full_stack: Recorder) -> None:
    export = full_stack.dependencies_of(":ServiceExport", "west-test-podinfo-service-exported")
    cleanup = full_stack.dependencies_of(":ExportCleanup", "west-test-podinfo-service-export-east")

    hooks = full_stack.registration(":ServiceExport", "west-test-podinfo-service-exported").hooks

    assert {"ReleaseDrift west-multicluster-drift", "ExportCleanup west-test-podinfo-service-export-east"} <= export
    assert hooks == (("west-test-podinfo-service-exported-apply",),) * 2, "the hook sets the label"
    assert {"Link link-east-to-west-link", "ReleaseDrift link-east-to-west-controller-drift"} <= cleanup
    assert not [name for name in cleanup if "west-to-east" in name], "only links that import the service"


def test_service_and_pods_outlive_their_mirrors(full_stack: Recorder) -> None:
    pods = {"Service west-test-podinfo-service", "Stash west-test-podinfo-ready"}

    assert pods <= full_stack.dependencies_of(":ServiceExport", "west-test-podinfo-service-exported")
    assert pods <= full_stack.dependencies_of(":ExportCleanup", "west-test-podinfo-service-export-east")
    assert full_stack.dependencies_of("Stash", "west-test-podinfo-ready") >= {"Deployment west-test-podinfo"}


def test_route_is_created_after_its_mirrors_and_link(full_stack: Recorder) -> None:
    dependencies = full_stack.dependencies_of(":TrafficSplit", "west-test-podinfo-split")

    assert {
        "Service west-test-podinfo-service",
        "Stash west-test-podinfo-ready",
        "ServiceExport east-test-podinfo-service-exported",
        "Stash east-test-podinfo-service-mirrors",
        "Link link-west-to-east-link",
    } <= dependencies
    assert "ServiceExport west-test-podinfo-service-exported" not in dependencies, "its mirrors are in east"


def test_mirrors_are_awaited_after_export_and_namespaces(full_stack: Recorder) -> None:
    record = full_stack.registration("Stash", "east-test-podinfo-service-mirrors")

    assert {
        "ServiceExport east-test-podinfo-service-exported",
        "Namespace west-test-namespace",
    } <= full_stack.dependencies_of("Stash", record.name)
    assert record.hooks == ((f"{record.name}-wait",), (f"{record.name}-wait",))
    assert full_stack.inputs_of("Stash")[record.name] == {"input": {"west": ["podinfo-east"]}}


@pytest.mark.parametrize(
    ("server", "permissions"),
    [
        ("west-test-podinfo-podinfo-http", {"AuthorizationPolicy west-test-podinfo-podinfo-http-policy"}),
        (
            "west-emojivoto-emojivoto-emoji-grpc",
            {"ServerAuthorization west-emojivoto-emojivoto-emoji-grpc-authorization"},
        ),
    ],
)
def test_server_is_created_after_its_authorizations(full_stack: Recorder, server: str, permissions: set[str]) -> None:
    assert permissions <= full_stack.dependencies_of(":Server", f"{server}-server")


def test_policy_is_created_after_its_authentication(full_stack: Recorder) -> None:
    policy = full_stack.dependencies_of(":AuthorizationPolicy", "west-test-podinfo-podinfo-http-policy")

    assert "MeshTLSAuthentication west-test-podinfo-podinfo-http-authentication" in policy


def test_catch_all_route_precedes_routes_of_profile(run: RunProgram) -> None:
    profile = {"form": "gateway-api"}
    config = {**mesh_config("west", links=[]), "linkerd": {"version": "2.20"}}
    recorder = run({**config, "workloads": [{"podinfo": {"profile": profile}}]})
    routes = recorder.inputs_of(":HTTPRoute")

    others = {name: recorder.dependencies_of(":HTTPRoute", name) for name in routes if not name.endswith("-other")}
    assert len(others) == 2
    for name, dependencies in others.items():
        assert "HTTPRoute west-test-podinfo-route-other" in dependencies, name


def test_unshared_global_service_follows_shared_ones(run: RunProgram) -> None:
    clusters = {"west": {"cilium": {"id": 1}}, "east": {"cilium": {"id": 2}}}
    userlist = {"shared": ["east"], "curltest": []}
    config = {"clusters": clusters, "cilium": {"version": "1.19.0"}, "links": []}
    recorder = run({**config, "linkerd": None, "workloads": [{"userlist": userlist}]})

    assert {
        "Deployment west-song-userlist",
        "Service east-song-userlist-service",
        "Stash east-song-userlist-ready",
    } <= recorder.dependencies_of("core/v1:Service", "west-song-userlist-service")


def test_only_exported_services_have_export_cleanup(full_stack: Recorder) -> None:
    exports = {name: without_secret_marks(inputs) for name, inputs in full_stack.inputs_of(":ExportCleanup").items()}

    assert {(each["target"], each["namespace"], each["service"], each["source"]) for each in exports.values()} == {
        ("west", "test", "podinfo", "east"),
        ("east", "test", "podinfo", "west"),
        ("west", "test", "webapp", "east"),
    }


def test_samples_share_namespace_and_sleep_needs_no_helloworld(full_stack: Recorder) -> None:
    namespaces = {
        name: inputs["metadata"]["name"] for name, inputs in full_stack.inputs_of("core/v1:Namespace").items()
    }

    shared = {name for name, namespace in namespaces.items() if namespace == "test"}
    assert shared == {"west-test-namespace", "east-test-namespace"}
    assert "default" not in namespaces.values()
    assert "west-default-helloworld-sleep" in full_stack.inputs_of("Deployment")
    assert [name for name in full_stack.inputs_of("Deployment") if "helloworld-v" in name] == [
        "east-default-helloworld-v1"
    ]
    assert "west-default-pull-secret" in full_stack.inputs_of("core/v1:Secret")


def test_unmeshed_sample_disables_injection_on_its_pods_only(full_stack: Recorder) -> None:
    pods = full_stack.inputs_of("Deployment")["west-emojivoto-emojivoto-web"]["spec"]["template"]
    namespaces = full_stack.inputs_of("core/v1:Namespace")

    assert pods["metadata"]["annotations"] == {"linkerd.io/inject": "disabled"}
    assert "linkerd.io/inject" not in namespaces["west-emojivoto-namespace"]["metadata"]["annotations"]
    assert namespaces["west-test-namespace"]["metadata"]["annotations"]["linkerd.io/inject"] == "enabled"


def test_former_podinfo_namespace_keeps_its_alias(full_stack: Recorder) -> None:
    former_parent = ("urn:pulumi:test::multicluster-mesh::multicluster-mesh:index:Podinfo::west-test-podinfo",)

    assert full_stack.registration("core/v1:Namespace", "west-test-namespace").aliases == (
        ("west-test-podinfo-namespace", *former_parent),
    )
    assert full_stack.registration("core/v1:Secret", "west-test-pull-secret").aliases == (
        ("west-test-podinfo-pull-secret", *former_parent),
    )
    assert full_stack.registration("core/v1:Namespace", "west-emojivoto-namespace").aliases == ()


def test_gateway_api_crds_precede_linkerd_crds(full_stack: Recorder) -> None:
    assert "ConfigFile west-gateway-api-crds" in full_stack.dependencies_of("Release", "west-linkerd-crds")
    values = {
        name: inputs["values"] for name, inputs in full_stack.inputs_of("Release").items() if name.endswith("-crds")
    }
    assert values == {"west-linkerd-crds": {"enableHttpRoutes": False}, "east-linkerd-crds": {}}


def test_retained_crds_are_deleted_between_release_and_namespace(run: RunProgram, full_stack: Recorder) -> None:
    recorder = run({**mesh_config("west", links=[]), "linkerd": {"version": "2.20"}})

    assert "RetainedCrds west-linkerd-retained-crds" in recorder.dependencies_of("Release", "west-linkerd-crds")
    assert "Namespace west-linkerd-namespace" in recorder.dependencies_of(":RetainedCrds", "west-linkerd-retained-crds")
    assert not full_stack.inputs_of(":RetainedCrds"), "the chart of 2.14 retains no CRD"


def test_buoyant_agent_manifest_is_secret_and_waits_for_injectors(full_stack: Recorder) -> None:
    agent = full_stack.inputs_of(":ConfigFile")["west-buoyant-cloud-agent"]

    assert agent["file"] != without_secret_marks(agent["file"]) == FULL_CONFIG["buoyantCloud"]["west"]
    assert full_stack.dependencies_of(":ConfigFile", "west-buoyant-cloud-agent") >= INJECTORS


def test_dashboard_password_is_secret(run: RunProgram, full_stack: Recorder) -> None:
    (user,) = full_stack.inputs_of(":DashboardUser").values()

    assert user["user"] == "ops"
    assert user["given"] != without_secret_marks(user["given"]) == "open sesame"
    assert not run(shipped_config("east-west")).inputs_of(":DashboardUser"), "this stack configures none"


def with_unreachable(config: dict[str, Any], cluster: str, reachable: Any = False) -> dict[str, Any]:
    return {**config, "clusters": {**config["clusters"], cluster: {"reachable": reachable}}}


def test_resources_of_unreachable_cluster_stay_unchanged(run: RunProgram, full_stack: Recorder) -> None:
    recorder = run(with_unreachable(FULL_CONFIG, "west"), secret=SECRET_KEYS, state=full_stack)

    assert {resource.urn for resource in recorder.to_state_resources()} == {
        resource.urn for resource in full_stack.to_state_resources()
    }
    for each in recorder.monitor.registrations:
        if "::west::" in each.provider and each.type != "pulumi:providers:kubernetes":
            assert each.ignore_changes == ("*",), each.name
            assert not each.retain_on_delete, each.name
    exports = {each.name: each for each in recorder.monitor.registrations if each.type.endswith(":ExportCleanup")}
    assert exports["west-test-podinfo-service-export-east"].ignore_changes == ("*",)
    assert exports["east-test-podinfo-service-export-west"].ignore_changes == (), "its target is reachable"
    changed = recorder.inputs_of(":ExportCleanup")["east-test-podinfo-service-export-west"]
    unchanged = full_stack.inputs_of(":ExportCleanup")["east-test-podinfo-service-export-west"]
    assert without_secret_marks(changed) == without_secret_marks(unchanged)


def test_export_cleanup_of_abandoned_cluster_is_retained(run: RunProgram, full_stack: Recorder) -> None:
    recorder = run(with_unreachable(FULL_CONFIG, "west", "never"), secret=SECRET_KEYS, state=full_stack)

    exports = {
        each.name: each.retain_on_delete
        for each in recorder.monitor.registrations
        if each.type.endswith(":ExportCleanup")
    }
    assert exports == {
        "west-test-podinfo-service-export-east": True,
        "west-test-booksapp-webapp-service-export-east": True,
        "east-test-podinfo-service-export-west": False,
    }


def test_export_without_links_needs_no_cleanup(run: RunProgram) -> None:
    config = {**mesh_config("west", links=[]), "workloads": [{"podinfo": {"exported": ["west"]}}]}

    assert run(config).inputs_of(":ExportCleanup") == {}


def test_every_object_has_background_deletion_policy(full_stack: Recorder) -> None:
    objects = {
        each.name: without_secret_marks(each.inputs).get("metadata")
        for each in full_stack.resources
        if each.typ.startswith("kubernetes:") and each.typ != "kubernetes:helm.sh/v3:Release"
    }
    # Resources that are only read have no inputs.
    annotations_by_name = {name: metadata["annotations"] for name, metadata in objects.items() if metadata}
    policies = {
        name: annotations.get("pulumi.com/deletionPropagationPolicy")
        for name, annotations in annotations_by_name.items()
    }

    assert len(policies) > 50
    assert [name for name, policy in policies.items() if policy != "background"] == []
