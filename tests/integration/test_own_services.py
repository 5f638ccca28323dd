"""Services that other teams deploy with kubectl, Helm and server-side apply, declared in a stack file."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.lab.state_dir import StateDir
from mesh.paths import PROJECT_ROOT
from tests.helpers import other_teams
from tests.helpers.documented_commands import OWN_SERVICES, commands_of_test
from tests.helpers.other_teams import LONG_NAME, build_service, build_workload
from tests.helpers.page_runner import copy_project, run_in_project
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects, wait_until

pytestmark = pytest.mark.lab("west", "east", minutes=2)

PAGE = PROJECT_ROOT / "docs/own-services.md"
NAMESPACE = "own-shop"
CLUSTERS = ("west", "east")
EXPORTED_LABEL = "mirror.linkerd.io/exported"
CONFIG: dict[str, Any] = {
    "clusters": {"west": {}, "east": {}},
    "topology": "full-mesh",
    "linkerd": {"version": "2.14.10"},
    "namespaces": {NAMESPACE: {"meshed": True, "skipOutboundPorts": [25, "3306-3310"]}},
    "services": {
        f"{NAMESPACE}/cart": {
            "exported": ["east"],
            "splits": [{"cluster": "west", "weights": {"west": 90, "east": 10}}],
            "failover": [{"cluster": "west", "to": ["east"]}],
            "profile": {"routes": [{"method": "GET", "pathRegex": "/items/[^/]+", "timeout": "300ms"}]},
        },
        f"{NAMESPACE}/ledger": {"exported": ["east"]},
        f"{NAMESPACE}/api": {
            "exported": ["east"],
            "splits": [{"cluster": "west", "weights": {"west": 1, "east": 1}}],
            "ports": [80, {"port": 9000, "protocol": "grpc"}],
        },
        f"{NAMESPACE}/db": {"exported": ["east"]},
        f"{NAMESPACE}/legacy": {"exported": ["east"]},
        f"{NAMESPACE}/{LONG_NAME}": {"exported": ["east"]},
        f"{NAMESPACE}/later": {"exported": ["east"], "optional": True},
    },
}


def deploy_other_teams(stack: StackUnderTest) -> None:
    """Deploy the workloads of the other teams to both clusters."""
    for context in CLUSTERS:
        stack.kubectl(context, "create", "namespace", NAMESPACE)
        other_teams.upgrade_release(stack, context, NAMESPACE)
        other_teams.apply(
            stack,
            context,
            NAMESPACE,
            build_workload("Deployment", "cart"),
            build_service("cart", 80),
            build_workload("StatefulSet", "db", serviceName="db"),
            build_service("db", 5432, clusterIP="None"),
            build_service("legacy", 80, selector=None),
            build_workload("Deployment", LONG_NAME),
            build_service(LONG_NAME, 80),
        )
        api = (build_workload("Deployment", "api"), build_service("api", 80, 9000, 6060))
        other_teams.apply(stack, context, NAMESPACE, *api, manager="argocd-controller")


@pytest.fixture(scope="module")
def stack(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy the workloads of other teams, then the stack."""
    folder = tmp_path_factory.mktemp("own-services")
    preparation = StackUnderTest(lab, folder, "own-services", CONFIG)
    deploy_other_teams(preparation)
    try:
        with deploy(lab, folder, "own-services", CONFIG) as lab_stack:
            yield lab_stack
    finally:
        for context in CLUSTERS:
            preparation.kubectl(context, "delete", "namespace", NAMESPACE, "--ignore-not-found")


def own_objects(stack: StackUnderTest, context: str) -> dict[str, Any]:
    """Return the objects of the namespace, and the namespace itself."""
    objects = list_all_objects(stack, context)
    return {
        key: item
        for key, item in objects.items()
        if f"/{NAMESPACE}" in key and not key.startswith(("pods/", "endpoints"))
    }


def mirror_names(stack: StackUnderTest) -> set[str]:
    return {
        item["metadata"]["name"]
        for item in stack.list_objects("west", "services", "-n", NAMESPACE, "-l", "mirror.linkerd.io/mirrored-service")
    }


def exported_names(stack: StackUnderTest) -> set[str]:
    return {name for namespace, name in stack.list_exported_services("east") if namespace == NAMESPACE}


def test_documented_commands_share_services_of_another_team(
    lab: StateDir, stack: StackUnderTest, tmp_path: Path
) -> None:
    [block] = re.findall(r"In the stack file [^\n]*:\n\n```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    documented = {key.partition(":")[2]: value for key, value in yaml.safe_load(block)["config"].items()}
    stack.configure({**CONFIG, **{key: {**CONFIG[key], **documented[key]} for key in ("namespaces", "services")}})
    runner = run_in_project(copy_project(tmp_path), lab, stack, dev=stack.name)
    commands = commands_of_test(OWN_SERVICES)
    removals = [command for command in commands if " delete " in command.text]

    runner.run_all(command for command in commands if command not in removals)
    stack.configure(CONFIG)
    stack.up()
    runner.run_all(removals)


def test_services_are_exported_and_mirrored(stack: StackUnderTest) -> None:
    names = {"cart", "ledger", "api", "db", "legacy", LONG_NAME}

    assert exported_names(stack) == names
    assert mirror_names(stack) == {f"{name}-east" for name in names}


def test_namespace_has_declared_annotations(stack: StackUnderTest) -> None:
    for context in CLUSTERS:
        annotations = stack.get_object(context, "namespace", NAMESPACE)["metadata"]["annotations"]
        assert annotations["linkerd.io/inject"] == "enabled"
        assert annotations["config.linkerd.io/skip-outbound-ports"] == "25,3306-3310"


def test_profile_has_weights_of_split_and_failover(stack: StackUnderTest) -> None:
    profile = stack.get_object("west", "serviceprofile", f"cart.{NAMESPACE}.svc.cluster.local", NAMESPACE)

    assert {each["authority"].partition(".")[0] for each in profile["spec"]["dstOverrides"]} == {"cart", "cart-east"}


def test_selected_ports_have_routes(stack: StackUnderTest) -> None:
    routes = stack.list_objects("west", "httproutes", "-n", NAMESPACE)

    assert sorted(route["metadata"]["name"] for route in routes) == ["api.80", "api.9000"]


def test_second_update_changes_nothing_after_other_teams_deploy_again(stack: StackUnderTest) -> None:
    other_teams.upgrade_release(stack, "east", NAMESPACE, revision="2")
    other_teams.apply(stack, "east", NAMESPACE, build_service("cart", 80))
    other_teams.apply(stack, "east", NAMESPACE, build_service("api", 80, 9000, 6060), manager="argocd-controller")

    assert exported_names(stack) >= {"ledger", "cart", "api"}
    stack.up("--expect-no-changes", "--refresh")


def test_removed_label_is_repaired(stack: StackUnderTest) -> None:
    stack.kubectl("east", "-n", NAMESPACE, "label", "service", "ledger", f"{EXPORTED_LABEL}-")

    stack.up("--refresh")

    assert "ledger" in exported_names(stack)


def test_service_created_again_is_exported_again(stack: StackUnderTest) -> None:
    stack.kubectl("east", "-n", NAMESPACE, "delete", "service", "ledger")
    other_teams.upgrade_release(stack, "east", NAMESPACE, revision="3")
    assert "ledger" not in exported_names(stack)

    stack.up()

    assert "ledger" in exported_names(stack)


def test_label_of_another_manager_is_refused(stack: StackUnderTest) -> None:
    other_teams.apply(stack, "east", NAMESPACE, build_service("orders", 80))
    stack.kubectl(
        "east", "-n", NAMESPACE, "label", "service", "orders", f"{EXPORTED_LABEL}=false", "--field-manager=billing"
    )
    config = copy.deepcopy(CONFIG)
    config["services"][f"{NAMESPACE}/orders"] = {"exported": ["east"]}
    stack.configure(config)

    output = stack.up_expecting_failure()

    assert "billing" in output
    assert "orders" not in exported_names(stack)
    stack.configure(CONFIG)


def test_missing_service_is_refused_before_anything_changes(stack: StackUnderTest) -> None:
    config = copy.deepcopy(CONFIG)
    config["services"][f"{NAMESPACE}/absent"] = {"exported": ["east"]}
    stack.configure(config)

    output = stack.up_expecting_failure()

    assert "before anything was changed" in output
    assert f"services.{NAMESPACE}/absent" in output
    stack.configure(CONFIG)


def test_optional_service_is_exported_once_it_exists(stack: StackUnderTest) -> None:
    other_teams.apply(stack, "east", NAMESPACE, build_workload("Deployment", "later"), build_service("later", 80))

    stack.up()

    assert "later" in exported_names(stack)
    assert wait_until(lambda: "later-east" in mirror_names(stack))


def test_removed_entry_leaves_service_as_it_was(stack: StackUnderTest) -> None:
    config = copy.deepcopy(CONFIG)
    for name in ("cart", "ledger", "later"):
        del config["services"][f"{NAMESPACE}/{name}"]
    stack.configure(config)

    stack.up()

    assert exported_names(stack) == {"api", "db", "legacy", LONG_NAME}
    assert stack.list_objects("west", "serviceprofiles", "-n", NAMESPACE) == []
    services = stack.list_objects("east", "services", "-n", NAMESPACE, "--show-managed-fields")
    # The field manager of a label is named after the label.
    labelled = {
        service["metadata"]["name"]
        for service in services
        if any(entry["manager"].endswith("-exported") for entry in service["metadata"]["managedFields"])
    }
    assert labelled == {"api", "db", "legacy", LONG_NAME}


def test_destroy_leaves_only_what_other_teams_own(stack: StackUnderTest) -> None:
    stack.kubectl("west", "delete", "namespace", NAMESPACE)

    stack.destroy()

    objects = own_objects(stack, "east")
    labels = {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in objects.values()}
    assert [name for name, each in labels.items() if EXPORTED_LABEL in each] == ["orders"]
    namespace = stack.get_object("east", "namespace", NAMESPACE)
    assert not any("linkerd.io" in key for key in namespace["metadata"].get("annotations") or {})
    assert {name.partition("/")[0] for name in objects} >= {"services", "deployments.apps", "statefulsets.apps"}
    assert stack.list_objects("west", "crds") == []
