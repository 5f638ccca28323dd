"""What waits for what, and what stays as it is: dependencies that no input tells of, on a recording engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.mock_engine import Recorder, RunProgram, mesh_config, without_secret_marks
from tests.helpers.stack_configs import shipped_config

LOGIN = {"auths": {"registry.example.com": {"auth": "bG9naW4="}}}
ALL: dict[str, Any] = {
    **mesh_config("west", "east", links=[("west", "east"), ("east", "west")]),
    "imagePullSecret": LOGIN,
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
SECRET = ["imagePullSecret", "dashboardPassword", "buoyantCloud"]
INJECTORS = {
    "ReleaseDrift west-linkerd-control-plane-drift",
    "ReleaseDrift west-viz-drift",
    "ReleaseDrift west-jaeger-drift",
}


@pytest.fixture(scope="module")
def whole(run: RunProgram) -> Recorder:
    """A stack with nearly everything."""
    return run(ALL, secret=SECRET)


def test_a_pod_waits_for_all_that_injects_something_into_it_and_for_what_its_image_is_pulled_with(
    whole: Recorder,
) -> None:
    deployments = [name for name in whole.inputs_of("Deployment") if name.startswith("west-")]

    assert len(deployments) == 12
    for name in deployments:
        cluster, namespace = name.split("-")[:2]
        credentials = f"Secret {cluster}-{namespace}-pull-secret"
        assert {*INJECTORS, credentials} <= whole.dependencies_of("Deployment", name), name


@pytest.mark.parametrize("name", ["viz", "jaeger"])
def test_an_injector_waits_for_linkerd_and_its_certificates(whole: Recorder, name: str) -> None:
    secrets = {
        "viz": {"Secret west-tap-secret", "Secret west-tap-injector-secret"},
        "jaeger": {"Secret west-jaeger-injector-secret"},
    }[name]

    before = whole.dependencies_of("Release", f"west-{name}")

    assert {"ReleaseDrift west-linkerd-control-plane-drift", f"Secret west-{name}-pull-secret", *secrets} <= before


@pytest.mark.parametrize(
    ("kind", "name", "brought_by"),
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
def test_an_object_waits_for_what_brings_its_kind(whole: Recorder, kind: str, name: str, brought_by: str) -> None:
    assert f"ReleaseDrift {brought_by}-drift" in whole.dependencies_of(kind, name)


def test_control_planes_wait_for_crds_that_somebody_else_brings(whole: Recorder) -> None:
    assert "ReleaseDrift west-linkerd-crds-drift" in whole.dependencies_of("Release", "west-linkerd-control-plane")


@pytest.mark.parametrize("name", ["west-multicluster", "west-ingress-nginx"])
def test_what_needs_an_address_waits_for_the_pool_to_be_announced(whole: Recorder, name: str) -> None:
    assert "L2Advertisement west-metallb-advertisement" in whole.dependencies_of("Release", name)
    assert "IPAddressPool west-metallb-pool" in whole.dependencies_of(":L2Advertisement", "west-metallb-advertisement")


def test_an_exported_service_goes_before_the_gateway_and_its_mirrors_before_the_links(whole: Recorder) -> None:
    service = whole.dependencies_of("core/v1:Service", "west-test-podinfo-service")
    export = whole.dependencies_of(":ExportCleanup", "west-test-podinfo-service-export-east")

    assert {"ReleaseDrift west-multicluster-drift", "ExportCleanup west-test-podinfo-service-export-east"} <= service
    assert {"Link link-east-to-west-link", "ReleaseDrift link-east-to-west-controller-drift"} <= export
    assert not [name for name in export if "west-to-east" in name], "only those that see it"


def test_only_what_is_exported_has_mirrors_to_wait_for(whole: Recorder) -> None:
    exports = {name: without_secret_marks(found) for name, found in whole.inputs_of(":ExportCleanup").items()}

    assert {(each["target"], each["namespace"], each["service"], each["source"]) for each in exports.values()} == {
        ("west", "test", "podinfo", "east"),
        ("east", "test", "podinfo", "west"),
        ("west", "test", "webapp", "east"),
    }


def test_samples_of_one_namespace_share_it_and_sleep_needs_no_helloworld(whole: Recorder) -> None:
    namespaces = {name: found["metadata"]["name"] for name, found in whole.inputs_of("core/v1:Namespace").items()}

    shared = {name for name, namespace in namespaces.items() if namespace == "test"}
    assert shared == {"west-test-namespace", "east-test-namespace"}
    assert "default" not in namespaces.values()
    assert "west-default-helloworld-sleep" in whole.inputs_of("Deployment")
    assert [name for name in whole.inputs_of("Deployment") if "helloworld-v" in name] == ["east-default-helloworld-v1"]
    assert "west-default-pull-secret" in whole.inputs_of("core/v1:Secret")


def test_a_sample_outside_the_mesh_says_so_of_its_pods_and_its_namespace(whole: Recorder) -> None:
    pods = whole.inputs_of("Deployment")["west-emojivoto-emojivoto-web"]["spec"]["template"]
    namespaces = whole.inputs_of("core/v1:Namespace")

    assert pods["metadata"]["annotations"] == {"linkerd.io/inject": "disabled"}
    assert "linkerd.io/inject" not in namespaces["west-emojivoto-namespace"]["metadata"]["annotations"]
    assert namespaces["west-test-namespace"]["metadata"]["annotations"]["linkerd.io/inject"] == "enabled"


def test_a_namespace_that_was_once_podinfos_own_is_still_the_same_one(whole: Recorder) -> None:
    former = ("urn:pulumi:test::multicluster-mesh::multicluster-mesh:index:Podinfo::west-test-podinfo",)

    assert whole.registration("core/v1:Namespace", "west-test-namespace").aliases == (
        ("west-test-podinfo-namespace", *former),
    )
    assert whole.registration("core/v1:Secret", "west-test-pull-secret").aliases == (
        ("west-test-podinfo-pull-secret", *former),
    )
    assert whole.registration("core/v1:Namespace", "west-emojivoto-namespace").aliases == ()


def test_gateway_apis_crds_come_before_those_of_linkerd(whole: Recorder) -> None:
    assert "ConfigFile west-gateway-api-crds" in whole.dependencies_of("Release", "west-linkerd-crds")
    values = {name: found["values"] for name, found in whole.inputs_of("Release").items() if name.endswith("-crds")}
    assert values == {"west-linkerd-crds": {"enableHttpRoutes": False}, "east-linkerd-crds": {}}


def test_what_helm_leaves_behind_goes_after_its_release_and_before_the_namespace(
    run: RunProgram, whole: Recorder
) -> None:
    found = run({**mesh_config("west", links=[]), "linkerd": {"version": "2.20"}})

    assert "RetainedCrds west-linkerd-retained-crds" in found.dependencies_of("Release", "west-linkerd-crds")
    assert "Namespace west-linkerd-namespace" in found.dependencies_of(":RetainedCrds", "west-linkerd-retained-crds")
    assert not whole.inputs_of(":RetainedCrds"), "2.14's chart leaves nothing behind"


def test_the_agents_manifest_is_a_secret_and_waits_for_the_injectors(whole: Recorder) -> None:
    agent = whole.inputs_of(":ConfigFile")["west-buoyant-cloud-agent"]

    assert agent["file"] != without_secret_marks(agent["file"]) == ALL["buoyantCloud"]["west"]
    assert whole.dependencies_of(":ConfigFile", "west-buoyant-cloud-agent") >= INJECTORS


def test_the_dashboards_password_is_nowhere_in_clear(run: RunProgram, whole: Recorder) -> None:
    (user,) = whole.inputs_of(":DashboardUser").values()

    assert user["user"] == "ops"
    assert user["given"] != without_secret_marks(user["given"]) == "open sesame"
    assert not run(shipped_config("east-west")).inputs_of(":DashboardUser"), "nobody asks for one"


def away(config: dict[str, Any], cluster: str, reachable: Any = False) -> dict[str, Any]:
    return {**config, "clusters": {**config["clusters"], cluster: {"reachable": reachable}}}


def test_nothing_of_a_cluster_that_is_away_is_changed_nor_removed(run: RunProgram, whole: Recorder) -> None:
    found = run(away(ALL, "west"), secret=SECRET, state=whole)

    assert {resource.urn for resource in found.to_state_resources()} == {resource.urn for resource in whole.state()}
    for each in found.monitor.registrations:
        if "::west::" in each.provider and each.type != "pulumi:providers:kubernetes":
            assert each.ignore_changes == ("*",), each.name
            assert not each.retain_on_delete, each.name
    exports = {each.name: each for each in found.monitor.registrations if each.type.endswith(":ExportCleanup")}
    assert exports["west-test-podinfo-service-export-east"].ignore_changes == ("*",)
    assert exports["east-test-podinfo-service-export-west"].ignore_changes == (), "of a cluster that is there"
    changed = found.inputs_of(":ExportCleanup")["east-test-podinfo-service-export-west"]
    unchanged = whole.inputs_of(":ExportCleanup")["east-test-podinfo-service-export-west"]
    assert without_secret_marks(changed) == without_secret_marks(unchanged)


def test_what_a_cluster_exported_that_does_not_come_back_is_forgotten_with_it(run: RunProgram, whole: Recorder) -> None:
    found = run(away(ALL, "west", "never"), secret=SECRET, state=whole)

    exports = {
        each.name: each.retain_on_delete for each in found.monitor.registrations if each.type.endswith(":ExportCleanup")
    }
    assert exports == {
        "west-test-podinfo-service-export-east": True,
        "west-test-booksapp-webapp-service-export-east": True,
        "east-test-podinfo-service-export-west": False,
    }


def test_what_nobody_is_linked_to_has_no_mirrors_to_wait_for(run: RunProgram) -> None:
    config = {**mesh_config("west", links=[]), "workloads": [{"podinfo": {"exported": ["west"]}}]}

    assert run(config).inputs_of(":ExportCleanup") == {}


def test_no_object_is_deleted_by_the_garbage_collector(whole: Recorder) -> None:
    objects = {
        each.name: without_secret_marks(each.inputs).get("metadata")
        for each in whole.resources
        if each.typ.startswith("kubernetes:") and each.typ != "kubernetes:helm.sh/v3:Release"
    }
    # What is only read has no inputs.
    made = {name: metadata["annotations"] for name, metadata in objects.items() if metadata}
    policies = {name: annotations.get("pulumi.com/deletionPropagationPolicy") for name, annotations in made.items()}

    assert len(policies) > 50
    assert [name for name, policy in policies.items() if policy != "background"] == []
