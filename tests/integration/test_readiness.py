"""Waits on the lab: a failed wait is explained, repeated without an upgrade, and survives a kill."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from hack.lab.state_dir import StateDir
from tests.helpers.stack_under_test import StackUnderTest, deploy, wait_until

pytestmark = pytest.mark.lab("north", minutes=1.5)

CONFIG: dict[str, Any] = {
    "clusters": {"north": {}},
    "workloads": [{"podinfo": {}}],
    "timeouts": {"ready": 4, "failEarly": False},
}
QUOTA = "no-pods"


@pytest.fixture(scope="module")
def mesh(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy Linkerd and podinfo on one cluster."""
    with deploy(lab, tmp_path_factory.mktemp("readiness"), "readiness", copy.deepcopy(CONFIG)) as lab_stack:
        yield lab_stack


def configure(mesh: StackUnderTest, *, revision: int, seconds: int = 4) -> None:
    """Change the pods of the control plane and of podinfo."""
    config = copy.deepcopy(CONFIG)
    config["timeouts"]["ready"] = seconds
    config["linkerd"] = {
        "values": {"linkerd-control-plane": {"podAnnotations": {"example.com/revision": str(revision)}}}
    }
    config["workloads"] = [{"podinfo": {"images": {"podinfo": f"registry.example.com/podinfo:{revision}"}}}]
    mesh.configure(config)


def forbid_pods(mesh: StackUnderTest, namespace: str) -> None:
    """Let a quota refuse all new pods of a namespace."""
    mesh.kubectl("north", "-n", namespace, "create", "quota", QUOTA, "--hard=pods=0")


def allow_pods(mesh: StackUnderTest, namespace: str) -> None:
    """Delete the quota, and the ReplicaSets, whose controllers otherwise try again up to minutes later."""
    mesh.kubectl("north", "-n", namespace, "delete", "quota", QUOTA)
    mesh.kubectl("north", "-n", namespace, "delete", "replicasets", "--all")


def list_revisions(mesh: StackUnderTest) -> list[str]:
    """Return the names of the control plane's Helm revisions."""
    selector = "owner=helm,name=linkerd-control-plane"
    return [each["metadata"]["name"] for each in mesh.list_objects("north", "secrets", "-n", "linkerd", "-l", selector)]


def test_failed_wait_is_explained_and_repeated(mesh: StackUnderTest) -> None:
    forbid_pods(mesh, "linkerd")
    configure(mesh, revision=2)

    output = mesh.up_expecting_failure()

    assert "north: linkerd-control-plane: not ready after 4 s: 3 of 3 objects" in output
    assert "Deployment linkerd-destination in namespace linkerd: 1 of 1 pod not updated" in output
    assert "FailedCreate" in output and f"exceeded quota: {QUOTA}" in output
    assert f"edit resourcequota {QUOTA}" in output
    assert "Traceback" not in output
    revisions = list_revisions(mesh)

    assert "not ready after 4 s" in mesh.up_expecting_failure(), "the next `up` waits again"
    assert list_revisions(mesh) == revisions, "and upgrades nothing"

    allow_pods(mesh, "linkerd")
    configure(mesh, revision=2, seconds=120)
    mesh.up()
    assert list_revisions(mesh) == revisions
    assert mesh.preview_changes() == {}


def test_killed_wait_is_repeated(mesh: StackUnderTest) -> None:
    forbid_pods(mesh, "linkerd")
    before = list_revisions(mesh)
    configure(mesh, revision=3, seconds=120)
    with mesh.interrupted_up():
        assert wait_until(lambda: len(list_revisions(mesh)) > len(before))
        assert wait_until(lambda: "waiting for Deployment linkerd-" in mesh.output.read_text())
    revisions = list_revisions(mesh)
    configure(mesh, revision=3)

    assert "not ready after 4 s" in mesh.up_expecting_failure()

    allow_pods(mesh, "linkerd")
    configure(mesh, revision=3, seconds=120)
    mesh.up()
    assert list_revisions(mesh) == revisions


def test_wait_for_sample_is_repeated(mesh: StackUnderTest) -> None:
    forbid_pods(mesh, "test")
    configure(mesh, revision=4)

    output = mesh.up_expecting_failure()

    assert "north: podinfo: not ready after 4 s: 1 of 1 objects" in output
    assert "Deployment podinfo in namespace test: 1 of 1 pod not updated" in output
    allow_pods(mesh, "test")
    configure(mesh, revision=4, seconds=120)
    mesh.up()
    assert mesh.preview_changes() == {}
