"""The table of `make check`: which of Linkerd's complaints fail it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from dev import stack
from dev.check import NO_PROBE, PROBES, Checker

STACK = {
    "clusters": {"west": {}, "east": {}, "north": {}},
    "links": [{"source": "west", "target": "east"}, {"source": "west", "target": "north", "gateway": False}],
}
OF_EAST, OF_NORTH = (NO_PROBE.format(target=target) for target in ("east", "north"))


@pytest.mark.parametrize(
    ("check", "result", "error", "passed"),
    [
        (PROBES, "error", OF_NORTH, True),
        (PROBES, "error", OF_EAST, False),
        (PROBES, "error", f"    {OF_NORTH}\n    {OF_EAST}", False),
        (PROBES, "error", "", False),
        ("Link resources are valid", "error", OF_NORTH, False),
        ("cli is up-to-date", "warning", "no such host", True),
        ("Link resources are valid", "warning", "odd", False),
        ("Link resources are valid", "success", "", True),
    ],
)
def test_only_what_the_lab_explains_is_let_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, result: str, error: str, passed: bool
) -> None:
    monkeypatch.setattr("dev.check.PATIENCE", 0)
    categories = [
        {"categoryName": "linkerd-multicluster", "checks": [{"description": check, "result": result, "error": error}]}
    ]
    core = {"categoryName": "kubernetes-api", "checks": []}
    said = {"success": result != "error", "categories": categories}
    program = tmp_path / "linkerd"
    program.write_text(
        f"#!/bin/sh\ncat <<'END'\n{json.dumps({'success': True, 'categories': [core]})}\n{json.dumps(said)}\nEND\n"
    )
    program.chmod(0o755)
    file = tmp_path / "stack.yaml"
    file.write_text(yaml.safe_dump({"config": {f"{stack.PROJECT}:{key}": value for key, value in STACK.items()}}))
    chosen = stack.read("odd", file)
    checker = Checker(chosen, {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})

    (west,) = (cluster for cluster in chosen.clusters if cluster.name == "west")
    found = {row.check: row.passed for row in checker._linkerd(west)}

    assert found == {"linkerd check": True, "linkerd multicluster check": passed}
