"""The table of `make check`: which of Linkerd's complaints fail it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from hack.make import stack
from hack.make.check import NO_PROBE_MESSAGE, PROBE_CHECK_NAME, Checker
from hack.make.check_result import CheckResult

STACK = {
    "clusters": {"west": {}, "east": {}, "north": {}},
    "links": [{"source": "west", "target": "east"}, {"source": "west", "target": "north", "gateway": False}],
}
OF_EAST, OF_NORTH = (NO_PROBE_MESSAGE.format(target=target) for target in ("east", "north"))


def rows(tmp_path: Path, *, check: str, result: str, error: str = "", cli: str = "stable-2.14.10") -> list[CheckResult]:
    """The rows of west where one of Linkerd's checks has a result, by a CLI of some release."""
    categories = [
        {"categoryName": "linkerd-multicluster", "checks": [{"description": check, "result": result, "error": error}]}
    ]
    core = {"categoryName": "kubernetes-api", "checks": []}
    said = {"success": result != "error", "categories": categories}
    printed = f"{json.dumps({'success': True, 'categories': [core]})}\n{json.dumps(said)}"
    program = tmp_path / "linkerd"
    program.write_text(f"#!/bin/sh\ntest \"$1\" = version && echo {cli} && exit\ncat <<'END'\n{printed}\nEND\n")
    program.chmod(0o755)
    file = tmp_path / "stack.yaml"
    file.write_text(yaml.safe_dump({"config": {f"{stack.PROJECT}:{key}": value for key, value in STACK.items()}}))
    chosen = stack.read_stack("odd", file)
    checker = Checker(chosen, {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    return checker._check_linkerd(next(cluster for cluster in chosen.clusters if cluster.name == "west"))


@pytest.mark.parametrize(
    ("check", "result", "error", "passed"),
    [
        (PROBE_CHECK_NAME, "error", OF_NORTH, True),
        (PROBE_CHECK_NAME, "error", OF_EAST, False),
        (PROBE_CHECK_NAME, "error", f"    {OF_NORTH}\n    {OF_EAST}", False),
        (PROBE_CHECK_NAME, "error", "", False),
        ("Link resources are valid", "error", OF_NORTH, False),
        ("cli is up-to-date", "warning", "no such host", True),
        ("Link resources are valid", "warning", "odd", False),
        ("Link resources are valid", "success", "", True),
    ],
)
def test_only_what_the_lab_explains_is_let_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, result: str, error: str, passed: bool
) -> None:
    monkeypatch.setattr("hack.make.check.CHECK_TIMEOUT_S", 0)

    found = {row.check: row.passed for row in rows(tmp_path, check=check, result=result, error=error)}

    assert found == {"linkerd check": True, "linkerd multicluster check": passed}


@pytest.mark.parametrize("check", ["control plane and cli versions match", "Link and CLI versions match"])
@pytest.mark.parametrize(("cli", "passed"), [("stable-2.14.10", False), ("edge-26.8.3", True)])
def test_a_cli_of_another_release_may_say_so_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, cli: str, passed: bool
) -> None:
    monkeypatch.setattr("hack.make.check.CHECK_TIMEOUT_S", 0)

    found = rows(tmp_path, check=check, result="warning", cli=cli)

    assert [row.passed for row in found] == [True, passed]
    assert [row.detail.endswith(f", by the CLI of {cli}") for row in found] == [passed, passed]
