"""Namespaces of other owners that join the mesh and leave it, with the workloads that run there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hack.lab.state_dir import StateDir
from mesh.kube.constants import INJECT_ANNOTATION
from mesh.proxied_workloads import has_proxy
from tests.helpers import other_teams
from tests.helpers.fake_injector import install_injector
from tests.helpers.other_teams import build_workload
from tests.helpers.stack_under_test import StackUnderTest

pytestmark = pytest.mark.lab("west", minutes=2)

NAMESPACE = "member-shop"
OPAQUE_PORTS = "config.linkerd.io/opaque-ports"
CONFIG: dict[str, Any] = {"clusters": {"west": {}}, "linkerd": {"version": "2.14.10"}}


def declare(**settings: Any) -> dict[str, Any]:
    """Return the configuration with the namespace."""
    return {**CONFIG, "namespaces": {NAMESPACE: {"meshed": True, "restart": True, **settings}}}


def build_namespace(**metadata: Any) -> dict[str, Any]:
    """Return the namespace as Argo CD applies it."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, **metadata}}


def read_annotations(stack: StackUnderTest) -> dict[str, str]:
    """Return the annotations of the namespace."""
    annotations: dict[str, str] = stack.get_object("west", "namespace", NAMESPACE)["metadata"].get("annotations", {})
    return {key: value for key, value in annotations.items() if "linkerd.io/" in key}


def list_proxied(stack: StackUnderTest) -> dict[str, set[bool]]:
    """Return whether the pods of each workload have a proxy."""
    proxied: dict[str, set[bool]] = {}
    for pod in stack.list_objects("west", "pods", "-n", NAMESPACE):
        if "deletionTimestamp" not in pod["metadata"]:
            proxied.setdefault(pod["metadata"]["labels"]["app"], set()).add(has_proxy(pod["spec"]))
    return proxied


def list_proxy_settings(stack: StackUnderTest) -> set[str]:
    """Return the opaque ports of all pods with a proxy."""
    pods = stack.list_objects("west", "pods", "-n", NAMESPACE)
    return {each["metadata"]["annotations"].get(OPAQUE_PORTS, "") for each in pods if has_proxy(each["spec"])}


@pytest.fixture(scope="module")
def created(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Deploy the workloads of another team, and yield the names of their new pods."""
    folder = tmp_path_factory.mktemp("membership-workloads")
    stack = StackUnderTest(lab, folder, "membership-workloads", CONFIG)
    other_teams.apply(stack, "west", "default", build_namespace(labels={"team": "shop"}), manager="argocd")
    other_teams.apply(
        stack,
        "west",
        NAMESPACE,
        build_workload("Deployment", "cart", replicas=3),
        build_workload("Deployment", "api"),
        build_workload("StatefulSet", "db", serviceName="db", replicas=2),
        build_workload("DaemonSet", "agent"),
    )
    other_teams.apply(stack, "west", NAMESPACE, build_workload("Deployment", "web", replicas=2), manager="argocd")
    debug = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "debug", "labels": {"app": "debug"}}}
    other_teams.apply(stack, "west", NAMESPACE, {**debug, "spec": build_workload("", "x")["spec"]["template"]["spec"]})
    for workload in ("deployment/cart", "statefulset/db", "daemonset/agent", "deployment/web"):
        stack.kubectl("west", "-n", NAMESPACE, "rollout", "status", workload, "--timeout=60s")
    try:
        with install_injector(lab, "west", NAMESPACE, folder) as names:
            yield names
    finally:
        stack.kubectl("west", "delete", "namespace", NAMESPACE, "--ignore-not-found")


@pytest.fixture(scope="module")
def stack(lab: StateDir, created: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy the stack, and destroy it at the end."""
    lab_stack = StackUnderTest(lab, tmp_path_factory.mktemp("membership"), "membership", declare())
    created.clear()
    lab_stack.up()
    yield lab_stack
    if lab_stack.has_resources:
        lab_stack.destroy()


def test_running_workloads_join_one_by_one(stack: StackUnderTest, created: list[str]) -> None:
    proxied = list_proxied(stack)
    assert proxied == {"debug": {False}, **{name: {True} for name in ("api", "cart", "web", "db", "agent")}}
    assert list(dict.fromkeys(created)) == ["api", "cart", "web", "db", "agent"]
    assert created == sorted(created, key=["api", "cart", "web", "db", "agent"].index), "the restarts overlap"
    output = stack.output.read_text()
    assert "west: namespace member-shop: Pod debug has no proxy: no controller would create it again" in output
    assert stack.get_object("west", "namespace", NAMESPACE)["metadata"]["labels"]["team"] == "shop"


def test_second_up_changes_nothing(stack: StackUnderTest) -> None:
    assert stack.preview_changes() == {}


def test_another_field_manager_is_named(stack: StackUnderTest) -> None:
    annotations = {OPAQUE_PORTS: "3306"}
    other_teams.apply(
        stack, "west", "default", build_namespace(labels={"team": "shop"}, annotations=annotations), manager="argocd"
    )
    stack.configure(declare(opaquePorts=[5432]))

    output = stack.up_expecting_failure()

    assert f"annotation {OPAQUE_PORTS} is 3306, set by argocd" in output
    assert read_annotations(stack) == {INJECT_ANNOTATION: "enabled", OPAQUE_PORTS: "3306"}
    other_teams.apply(stack, "west", "default", build_namespace(labels={"team": "shop"}), manager="argocd")


def test_changed_settings_restart_workloads(stack: StackUnderTest, created: list[str]) -> None:
    stack.configure(declare(opaquePorts=[5432]))
    stack.up()

    assert read_annotations(stack) == {INJECT_ANNOTATION: "enabled", OPAQUE_PORTS: "5432"}
    assert list_proxy_settings(stack) == {"5432"}

    created.clear()
    stack.configure(declare())
    stack.up()

    assert read_annotations(stack) == {INJECT_ANNOTATION: "enabled"}
    assert list_proxy_settings(stack) == {""}
    pods = stack.list_objects("west", "pods", "-n", NAMESPACE)
    assert len(created) == len(pods) - len(["debug"]), "each pod is re-created once"


def test_refresh_repairs_removed_annotation(stack: StackUnderTest, created: list[str]) -> None:
    stack.kubectl("west", "annotate", "namespace", NAMESPACE, f"{INJECT_ANNOTATION}-")
    created.clear()

    stack.up("--refresh")

    assert read_annotations(stack) == {INJECT_ANNOTATION: "enabled"}
    assert created == []


def test_destroy_leaves_nothing_meshed(stack: StackUnderTest, created: list[str]) -> None:
    created.clear()

    stack.destroy()

    assert set().union(*list_proxied(stack).values()) == {False}
    assert created == sorted(created, key=["api", "cart", "web", "db", "agent"].index), "the restarts overlap"
    live = stack.get_object("west", "namespace", NAMESPACE)["metadata"]
    assert read_annotations(stack) == {}
    assert live["labels"]["team"] == "shop"
    assert "mesh" not in json.dumps([each["manager"] for each in live.get("managedFields", [])])
