"""Namespace of another owner that joins the mesh and leaves it, with Linkerd's own injector and real pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hack.lab.state_dir import StateDir
from mesh.proxied_workloads import has_proxy
from tests.helpers import other_teams
from tests.helpers.dataplane_programs import REQUIRES_DATAPLANE
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES, newest_edge_release
from tests.helpers.other_teams import build_workload
from tests.helpers.stack_under_test import StackUnderTest, deploy

pytestmark = [pytest.mark.lab("plane-1", minutes=2), REQUIRES_DATAPLANE, REQUIRES_EDGE_RELEASES]

CONTEXT, NAMESPACE = "plane-1", "member-shop"
OPAQUE_PORTS = "config.linkerd.io/opaque-ports"
WORKLOADS = ("deployment/cart", "statefulset/db", "daemonset/agent")


def list_pods(stack: StackUnderTest) -> list[dict[str, Any]]:
    """Return the pods of the namespace that stay."""
    pods = stack.list_objects(CONTEXT, "pods", "-n", NAMESPACE)
    return [each for each in pods if "deletionTimestamp" not in each["metadata"]]


def test_running_pods_join_and_leave_mesh(dataplane_lab: StateDir, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"meshed": True, "restart": True}
    config: dict[str, Any] = {
        "clusters": {"west": {"context": CONTEXT}},
        "linkerd": {"version": newest_edge_release()},
        "namespaces": {NAMESPACE: settings},
    }
    preparation = StackUnderTest(dataplane_lab, tmp_path, "members", config)
    preparation.kubectl(CONTEXT, "create", "namespace", NAMESPACE)
    other_teams.apply(
        preparation,
        CONTEXT,
        NAMESPACE,
        build_workload("Deployment", "cart", replicas=2),
        build_workload("StatefulSet", "db", serviceName="db"),
        build_workload("DaemonSet", "agent"),
    )
    for workload in WORKLOADS:
        preparation.kubectl(CONTEXT, "-n", NAMESPACE, "rollout", "status", workload, "--timeout=90s")

    with deploy(dataplane_lab, tmp_path, "members", config) as stack:
        assert all(has_proxy(each["spec"]) for each in list_pods(stack))
        settings["opaquePorts"] = [5432]
        stack.configure(config)
        stack.up()
        assert {each["metadata"]["annotations"].get(OPAQUE_PORTS) for each in list_pods(stack)} == {"5432"}
        assert stack.preview_changes() == {}
        assert "although it was restarted" not in stack.output.read_text()

    assert not any(has_proxy(each["spec"]) for each in list_pods(preparation))
    assert "can still have a proxy" not in preparation.output.read_text()
    preparation.kubectl(CONTEXT, "delete", "namespace", NAMESPACE)
