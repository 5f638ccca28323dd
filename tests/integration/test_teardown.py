"""Teardown that cannot finish: a dead aggregated API, remaining finalizers, credentials that were replaced."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.lab.state_dir import StateDir
from mesh.kube import client as kube_client
from mesh.kube.api_services import API_SERVICES_PATH
from mesh.kube.client import KubeClient
from mesh.kube.connection import Access
from mesh.paths import PROJECT_ROOT
from mesh.pulumi_cli import PulumiCommandError
from tests.helpers.stack_under_test import StackUnderTest, deploy, wait_until

pytestmark = pytest.mark.lab("west", minutes=2)

API = "v1.menu.example.com"
CONFIG: dict[str, Any] = {"clusters": {"west": {}}, "workloads": [{"podinfo": {"namespace": "test"}}]}
REPORT_TIMEOUT_S = 30


def documented_renewal() -> list[str]:
    """Return the options of the documented `pulumi up` that updates only resources with credentials."""
    page = (PROJECT_ROOT / "docs/own-clusters.md").read_text()
    (options,) = re.findall(r"^pulumi up (--target (?:.|\\\n)*?)\npulumi destroy", page, re.MULTILINE)
    return shlex.split(options.replace("\\\n", ""))


def connect(lab_stack: StackUnderTest) -> KubeClient:
    return kube_client.connect(Access(context="west", kubeconfig=str(lab_stack.lab.kubeconfig)))


@contextmanager
def dead_api(client: KubeClient) -> Iterator[None]:
    """Register an aggregated API without a backend, and delete it on exit."""
    spec = {
        "group": "menu.example.com",
        "version": "v1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 15,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": "default", "name": "nobody"},
    }
    client.request("POST", API_SERVICES_PATH, body={"metadata": {"name": API}, "spec": spec})

    def is_unavailable() -> bool:
        status = (client.request("GET", f"{API_SERVICES_PATH}/{API}") or {}).get("status", {})
        return any(each["status"] == "False" for each in status.get("conditions", ()))

    try:
        assert wait_until(is_unavailable)
        yield
    finally:
        client.request("DELETE", f"{API_SERVICES_PATH}/{API}")


def seconds_until_report(lab_stack: StackUnderTest, client: KubeClient, namespace: str) -> float:
    """Return the seconds from the request to delete a namespace until Pulumi's output contains a report on it."""
    path, report = f"/api/v1/namespaces/{namespace}", f"west: namespace {namespace}: still Terminating after"

    def deletion_timestamp() -> str:
        return str((client.request("GET", path) or {"metadata": {}})["metadata"].get("deletionTimestamp", ""))

    assert wait_until(lambda: bool(deletion_timestamp()), 60)
    requested_at = datetime.fromisoformat(deletion_timestamp())
    assert wait_until(lambda: report in lab_stack.output.read_text(), 60)
    return time.time() - requested_at.timestamp()


def has_remaining_content(client: KubeClient, namespace: str) -> bool:
    """Return whether the namespace controller reports objects that it can't delete."""
    status = (client.request("GET", f"/api/v1/namespaces/{namespace}") or {}).get("status", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    return conditions.get("NamespaceFinalizersRemaining") == "True"


@contextmanager
def running_destroy(lab_stack: StackUnderTest) -> Iterator[Future[None]]:
    """Run `destroy` in the background, and require at exit that it succeeds."""
    with ThreadPoolExecutor(1) as pool:
        destroy = pool.submit(lab_stack.destroy)
        yield destroy
        # The namespace controller retries at growing intervals of up to a minute.
        destroy.result(timeout=120)


def test_destroy_reports_dead_api_and_continues(lab: StateDir, tmp_path: Path) -> None:
    with deploy(lab, tmp_path, "dead-api", CONFIG) as lab_stack:
        client = connect(lab_stack)
        with running_destroy(lab_stack) as destroy, dead_api(client):
            for namespace in ("linkerd", "test"):
                assert seconds_until_report(lab_stack, client, namespace) < REPORT_TIMEOUT_S
            assert not destroy.done(), "Pulumi continues to wait"

        output = lab_stack.output.read_text()
        assert "NamespaceDeletionDiscoveryFailure: Discovery failed for some groups" in output
        assert f"kubectl delete apiservice {API}" in output
        assert "Traceback" not in output
        assert lab_stack.is_restored("west")


def test_dead_api_is_warning_of_preview(lab: StateDir, tmp_path: Path) -> None:
    lab_stack = StackUnderTest(lab, tmp_path, "warned", CONFIG)
    with dead_api(connect(lab_stack)), lab_stack.engine() as engine:
        engine.preview()

    assert f"clusters.west: APIService {API}: the API is unavailable" in lab_stack.output.read_text()


def test_remaining_finalizer_is_reported_by_every_command(lab: StateDir, tmp_path: Path) -> None:
    with deploy(lab, tmp_path, "finalizer", CONFIG) as lab_stack:
        client = connect(lab_stack)
        maps = "/api/v1/namespaces/test/configmaps"
        client.request("POST", maps, body={"metadata": {"name": "stuck", "finalizers": ["example.com/nobody"]}})
        try:
            with lab_stack.interrupted_destroy():
                assert wait_until(lambda: has_remaining_content(client, "test"), 60)

            up = lab_stack.up_expecting_failure()
            lab_stack.output.write_text("")
            with lab_stack.engine() as engine:
                engine.preview()
            preview = lab_stack.output.read_text()

            lab_stack.output.write_text("")
            with running_destroy(lab_stack):
                report = "west: namespace test: still Terminating after"
                assert wait_until(lambda: report in lab_stack.output.read_text(), 60), "no report by the second destroy"
                client.request("PATCH", f"{maps}/stuck", body={"metadata": {"finalizers": None}})
                assert "example.com/nobody in 1 resource instances" in lab_stack.output.read_text()
        finally:
            client.request("PATCH", f"{maps}/stuck", body={"metadata": {"finalizers": None}})

        finding = "clusters.west: namespace test: is Terminating, so nothing can be created in it"
        assert finding in up and "before anything was changed" in up
        assert finding in preview
        assert "configmaps. has 1 resource instances" in preview
        assert lab_stack.is_restored("west")


def create_token(lab_stack: StackUnderTest) -> str:
    """Create an administrator, or replace it so that its former tokens are refused, and return its new token."""
    lab_stack.kubectl("west", "delete", "serviceaccount", "admin", "--ignore-not-found")
    lab_stack.kubectl("west", "create", "serviceaccount", "admin")
    return lab_stack.kubectl("west", "create", "token", "admin").strip()


def kubeconfig_with_token(lab: StateDir, token: str) -> str:
    """Return a kubeconfig of the cluster west."""
    content = yaml.safe_load(lab.kubeconfig.read_text())
    for kind in ("clusters", "users", "contexts"):
        content[kind] = [entry for entry in content[kind] if entry["name"] == "west"]
    content["users"][0]["user"] = {"token": token}
    return str(yaml.safe_dump({**content, "current-context": "west"}))


def test_documented_command_renews_credentials_before_destroy(lab: StateDir, tmp_path: Path) -> None:
    lab_stack = StackUnderTest(lab, tmp_path, "rotated", CONFIG)
    binding = ("clusterrolebinding", "admin", "--clusterrole=cluster-admin", "--serviceaccount=default:admin")
    lab_stack.kubectl("west", "create", *binding)
    try:
        lab_stack.configure(CONFIG, {"kubeconfigs.west": kubeconfig_with_token(lab, create_token(lab_stack))})
        lab_stack.up()
        token = create_token(lab_stack)
        lab_stack.configure(CONFIG, {"kubeconfigs.west": kubeconfig_with_token(lab, token)})
        # The API server accepts a deleted account's token for ten seconds.
        time.sleep(11)
        with pytest.raises(PulumiCommandError):
            lab_stack.destroy()

        lab_stack.up(*documented_renewal())
        lab_stack.destroy()

        assert token not in lab_stack.output.read_text()
        assert not lab_stack.has_object("west", "namespace", "linkerd")
    finally:
        lab_stack.kubectl("west", "delete", "clusterrolebinding", "admin")
        lab_stack.kubectl("west", "delete", "serviceaccount", "admin")
