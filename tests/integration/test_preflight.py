"""What a real API server is asked before an update, with credentials that may do little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.lab.state_dir import StateDir
from tests.helpers.lab_stack import LabStack, list_all_objects

pytestmark = pytest.mark.lab("west")


def _write_kubeconfig_with_token(lab: StateDir, folder: Path, token: str) -> str:
    """The path of a kubeconfig with one context, whose user has this token."""
    found: dict[str, Any] = yaml.safe_load(lab.kubeconfig.read_text())
    for user in found["users"]:
        user["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(found))
    return str(path)


def _create_token(lab: StateDir, folder: Path, name: str, role: str | None) -> str:
    """A token of a new service account of the cluster west."""
    deployment = LabStack(lab, folder, name, {"clusters": {"west": {}}})
    deployment.kubectl("west", "create", "serviceaccount", name)
    if role is not None:
        binding = ("create", "clusterrolebinding", name, f"--clusterrole={role}", f"--serviceaccount=default:{name}")
        deployment.kubectl("west", *binding)
    return deployment.kubectl("west", "create", "token", name).strip()


def _delete_account(lab: StateDir, folder: Path, name: str) -> None:
    deployment = LabStack(lab, folder, name, {"clusters": {"west": {}}})
    deployment.kubectl("west", "delete", "clusterrolebinding", name, "--ignore-not-found")
    deployment.kubectl("west", "delete", "serviceaccount", name)


def test_read_only_credentials_suffice_for_preview_but_not_up(lab: StateDir, tmp_path: Path) -> None:
    token = _create_token(lab, tmp_path, "reader", "view")
    try:
        config = {"clusters": {"west": {"kubeconfig": _write_kubeconfig_with_token(lab, tmp_path, token)}}}
        deployment = LabStack(lab, tmp_path, "reading", config)
        there = list_all_objects(deployment, "west")
        with deployment.engine() as engine:
            engine.preview()
        assert "may not" in deployment.output.read_text()

        printed = deployment.up_expecting_failure()

        assert "before anything was changed" in printed
        assert "namespaces" in printed
        assert "Traceback" not in printed
        assert token not in printed
        assert list_all_objects(deployment, "west") == there
    finally:
        _delete_account(lab, tmp_path, "reader")


def test_refused_credentials_are_not_reported_as_unreachable_cluster(lab: StateDir, tmp_path: Path) -> None:
    config = {"clusters": {"west": {"kubeconfig": _write_kubeconfig_with_token(lab, tmp_path, "expired-long-ago")}}}
    deployment = LabStack(lab, tmp_path, "refused", config)

    printed = deployment.up_expecting_failure()

    assert "401" in printed
    assert "get new credentials" in printed
    assert "reachable: false" not in printed
    assert "Traceback" not in printed


def test_preexisting_namespace_is_refused(lab: StateDir, tmp_path: Path) -> None:
    deployment = LabStack(
        lab, tmp_path, "guest", {"clusters": {"west": {}}, "workloads": [{"podinfo": {"namespace": "ours"}}]}
    )
    deployment.kubectl("west", "create", "namespace", "ours")
    try:
        printed = deployment.up_expecting_failure()

        assert "ours" in printed
        assert "was not made by this stack" in printed
    finally:
        deployment.kubectl("west", "delete", "namespace", "ours")
