"""Results of Linkerd's own checks in the table of `make check`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from hack.make import stack
from hack.make.check import NO_PROBE_MESSAGE, PROBE_CHECK_NAME, Checker
from hack.make.check_result import CheckResult
from mesh.config import PROJECT

STACK = {
    "linkerd": {"version": "2.14.10"},
    "clusters": {"west": {}, "east": {}, "north": {}},
    "links": [{"source": "west", "target": "east"}, {"source": "west", "target": "north", "gateway": False}],
}
NO_PROBE_EAST, NO_PROBE_NORTH = (NO_PROBE_MESSAGE.format(target=target) for target in ("east", "north"))


def run_linkerd_checks(
    tmp_path: Path,
    *,
    check: str,
    result: str,
    error: str = "",
    cli: str = "stable-2.14.10",
    has_dataplane: bool = False,
) -> list[CheckResult]:
    """Return the rows of cluster west when one check of the Linkerd CLI has the given result."""
    categories = [
        {"categoryName": "linkerd-multicluster", "checks": [{"description": check, "result": result, "error": error}]}
    ]
    core = {"categoryName": "kubernetes-api", "checks": []}
    output = {"success": result != "error", "categories": categories}
    cli_output = f"{json.dumps({'success': True, 'categories': [core]})}\n{json.dumps(output)}"
    program = tmp_path / "linkerd"
    program.write_text(f"#!/bin/sh\ntest \"$1\" = version && echo {cli} && exit\ncat <<'END'\n{cli_output}\nEND\n")
    program.chmod(0o755)
    file = tmp_path / "stack.yaml"
    file.write_text(yaml.safe_dump({"config": {f"{PROJECT}:{key}": value for key, value in STACK.items()}}))
    lab_stack = stack.read_stack("custom", file)
    checker = Checker(
        lab_stack, {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, has_dataplane=has_dataplane
    )
    return checker._check_linkerd(next(cluster for cluster in lab_stack.clusters if cluster.name == "west"))


@pytest.mark.parametrize(
    ("check", "result", "error", "passed"),
    [
        (PROBE_CHECK_NAME, "error", NO_PROBE_NORTH, True),
        (PROBE_CHECK_NAME, "error", NO_PROBE_EAST, False),
        (PROBE_CHECK_NAME, "error", f"    {NO_PROBE_NORTH}\n    {NO_PROBE_EAST}", False),
        (PROBE_CHECK_NAME, "error", "", False),
        ("Link resources are valid", "error", NO_PROBE_NORTH, False),
        ("multicluster extension proxies are healthy", "warning", "no proxies", True),
        ("Link resources are valid", "warning", "unexpected", False),
        ("Link resources are valid", "success", "", True),
    ],
)
def test_only_explained_probe_error_passes_multicluster_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, result: str, error: str, passed: bool
) -> None:
    monkeypatch.setattr("hack.make.check.CHECK_TIMEOUT_S", 0)

    results = {row.check: row.passed for row in run_linkerd_checks(tmp_path, check=check, result=result, error=error)}

    assert results == {"linkerd check": True, "linkerd multicluster check": passed}


@pytest.mark.parametrize("check", ["control plane and cli versions match", "Link and CLI versions match"])
@pytest.mark.parametrize(("cli", "passed"), [("stable-2.14.10", False), ("edge-26.8.3", True)])
def test_version_mismatch_passes_for_named_cli_of_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, cli: str, passed: bool
) -> None:
    monkeypatch.setattr("hack.make.check.CHECK_TIMEOUT_S", 0)

    rows = run_linkerd_checks(tmp_path, check=check, result="warning", cli=cli)

    assert [row.passed for row in rows] == [True, passed]
    assert [row.detail.endswith(f", by the CLI of {cli}") for row in rows] == [passed, passed]


@pytest.mark.parametrize("has_dataplane", [False, True])
def test_unhealthy_proxies_pass_only_without_data_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_dataplane: bool
) -> None:
    monkeypatch.setattr("hack.make.check.CHECK_TIMEOUT_S", 0)
    check = "multicluster extension proxies are healthy"

    rows = run_linkerd_checks(tmp_path, check=check, result="warning", has_dataplane=has_dataplane)

    assert [row.passed for row in rows] == [True, not has_dataplane]
