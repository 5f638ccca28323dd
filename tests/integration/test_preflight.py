"""Preflight checks on a real API server, with limited credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.lab.state_dir import StateDir
from mesh.config import PROJECT
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects

pytestmark = pytest.mark.lab("west")


def _write_kubeconfig_with_token(lab: StateDir, folder: Path, token: str) -> str:
    """Write a kubeconfig whose users have this token, and return its path."""
    kubeconfig: dict[str, Any] = yaml.safe_load(lab.kubeconfig.read_text())
    for user in kubeconfig["users"]:
        user["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig))
    return str(path)


def _create_token(lab: StateDir, folder: Path, name: str, role: str | None) -> str:
    """Create a service account in the cluster west, and return its token."""
    lab_stack = StackUnderTest(lab, folder, name, {"clusters": {"west": {}}})
    lab_stack.kubectl("west", "create", "serviceaccount", name)
    if role is not None:
        binding = ("create", "clusterrolebinding", name, f"--clusterrole={role}", f"--serviceaccount=default:{name}")
        lab_stack.kubectl("west", *binding)
    return lab_stack.kubectl("west", "create", "token", name).strip()


def _delete_account(lab: StateDir, folder: Path, name: str) -> None:
    lab_stack = StackUnderTest(lab, folder, name, {"clusters": {"west": {}}})
    lab_stack.kubectl("west", "delete", "clusterrolebinding", name, "--ignore-not-found")
    lab_stack.kubectl("west", "delete", "serviceaccount", name)


def test_read_only_credentials_suffice_for_preview_but_not_up(lab: StateDir, tmp_path: Path) -> None:
    token = _create_token(lab, tmp_path, "reader", "view")
    try:
        config = {"clusters": {"west": {"kubeconfig": _write_kubeconfig_with_token(lab, tmp_path, token)}}}
        lab_stack = StackUnderTest(lab, tmp_path, "reading", config)
        objects = list_all_objects(lab_stack, "west")
        with lab_stack.engine() as engine:
            engine.preview()
        assert "may not" in lab_stack.output.read_text()

        output = lab_stack.up_expecting_failure()

        assert "before anything was changed" in output
        assert "namespaces" in output
        assert "Traceback" not in output
        assert token not in output
        assert list_all_objects(lab_stack, "west") == objects
    finally:
        _delete_account(lab, tmp_path, "reader")


def test_refused_credentials_are_not_reported_as_unreachable_cluster(lab: StateDir, tmp_path: Path) -> None:
    config = {"clusters": {"west": {"kubeconfig": _write_kubeconfig_with_token(lab, tmp_path, "expired-long-ago")}}}
    lab_stack = StackUnderTest(lab, tmp_path, "refused", config)

    output = lab_stack.up_expecting_failure()

    assert "401" in output
    assert "get new credentials" in output
    assert "reachable: false" not in output
    assert "Traceback" not in output


def test_preexisting_namespace_is_refused(lab: StateDir, tmp_path: Path) -> None:
    lab_stack = StackUnderTest(
        lab, tmp_path, "guest", {"clusters": {"west": {}}, "workloads": [{"podinfo": {"namespace": "ours"}}]}
    )
    lab_stack.kubectl("west", "create", "namespace", "ours")
    try:
        output = lab_stack.up_expecting_failure()

        assert "ours" in output
        assert "does not belong to this stack" in output
    finally:
        lab_stack.kubectl("west", "delete", "namespace", "ours")


def test_changed_domains_of_running_linkerd_are_refused(lab: StateDir, tmp_path: Path) -> None:
    linkerd = {"trustDomain": "mesh.example"}
    with deploy(lab, tmp_path, "domains", {"clusters": {"west": {}}, "linkerd": linkerd}) as lab_stack:
        lab_stack.up("--expect-no-changes")
        lab_stack.configure({"clusters": {"west": {}}, "linkerd": {"clusterDomain": "west.example"}})

        output = lab_stack.up_expecting_failure()

        assert "clusters.west.linkerd.trustDomain: cluster.local: Linkerd runs there with mesh.example" in output
        assert "clusters.west.linkerd.clusterDomain: west.example: Linkerd runs there with cluster.local" in output


def test_preview_warns_of_unknown_values_and_newer_kubernetes(lab: StateDir, tmp_path: Path) -> None:
    values = {"linkerd-control-plane": {"proxyy": {"logLevel": "debug"}, "proxy": {"logLevel": "info"}}}
    config = {"clusters": {"west": {}}, "linkerd": {"version": "2.14.10", "values": values}}
    lab_stack = StackUnderTest(lab, tmp_path, "misspelt", config)

    with lab_stack.engine() as engine:
        engine.preview()
    output = " ".join(lab_stack.output.read_text().split())

    assert "linkerd.values.linkerd-control-plane.proxyy: …: linkerd-control-plane 1.16.11 has no such value" in output
    assert "did you mean proxy?" in output
    assert "linkerd-control-plane.proxy:" not in output
    assert 'linkerd.version: "2.14.10": Linkerd no longer maintains its stable releases' in output
    assert "Linkerd 2.14.10 has not been tested with a Kubernetes newer than 1.28; set linkerd.version to" in output


def test_default_release_is_refused_where_charts_lack_it(lab: StateDir, tmp_path: Path) -> None:
    lab_stack = StackUnderTest(lab, tmp_path, "default", {"clusters": {"west": {}}})
    content: dict[str, Any] = {"config": {f"{PROJECT}:clusters": {"west": {}}}}
    lab_stack.stack.file.write_text(yaml.safe_dump(content))

    output = " ".join(lab_stack.up_expecting_failure().split())

    assert 'linkerd.version: "2.20": ' in output
    assert "has no linkerd-control-plane chart of this release; choose a release that it has: stable-2.14.10" in output
