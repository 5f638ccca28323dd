"""Policy rules as a check of a preview's JSON."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mesh.paths import PROJECT_ROOT
from policy import LifetimeLimits, PreviewError, extract_resources
from policy.check import main
from policy.config import PolicyConfigError, parse_config

PROVIDER = "pulumi:providers:kubernetes"


def step(op: str, name: str = "west", kind: str = PROVIDER, **inputs: Any) -> dict[str, Any]:
    """Return a step of a preview."""
    urn = f"urn:pulumi:prod::mesh::{kind}::{name}"
    return {"op": op, "urn": urn, "newState": {"urn": urn, "type": kind, "inputs": inputs}}


def preview_json(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"steps": list(steps), "duration": 1, "changeSummary": {"create": len(steps)}}


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that checks a preview; it returns exit code, violations and summary."""

    def run(text: str, config: str | None = None) -> tuple[int, list[str], str]:
        (tmp_path / "preview.json").write_text(text)
        arguments = [str(tmp_path / "preview.json")]
        if config is not None:
            (tmp_path / "config.json").write_text(config)
            arguments += ["--config", str(tmp_path / "config.json")]
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.replace(str(tmp_path), "").rstrip("\n")

    return run


def test_preview_without_violations_passes(check: Any) -> None:
    code, lines, summary = check(json.dumps(preview_json(step("create", clusterIdentifier="west"))))

    assert (code, lines, summary) == (0, [], "1 resources, 0 violations, 0 of them mandatory")


def test_violation_line_has_resource_path_rule_and_remedy(check: Any) -> None:
    code, lines, _ = check(json.dumps(preview_json(step("create"))))

    assert code == 1
    assert lines == [
        "mandatory: west (pulumi:providers:kubernetes): identifiers: clusterIdentifier: not set, so a changed "
        "kubeconfig would replace everything on the cluster; set it to the cluster's name in the stack file"
    ]


def test_advisory_violation_does_not_fail_check(check: Any) -> None:
    text = json.dumps(preview_json(step("create", kind="kubernetes:core/v1:Namespace")))

    code, lines, summary = check(text)
    assert (code, len(lines), summary) == (0, 1, "1 resources, 1 violations, 0 of them mandatory")
    assert check(text, '{"namespaces": "mandatory"}')[0] == 1
    assert check(text, '{"all": "disabled"}')[:2] == (0, [])


@pytest.mark.parametrize("op", ["same", "create", "update", "replace", "create-replacement", "import"])
def test_remaining_resources_are_checked(check: Any, op: str) -> None:
    assert check(json.dumps(preview_json(step(op))))[0] == 1


@pytest.mark.parametrize("op", ["delete", "delete-replaced", "read", "discard", "refresh", None])
def test_deleted_and_read_resources_are_not_checked(check: Any, op: str) -> None:
    assert check(json.dumps(preview_json(step(op))))[:2] == (0, [])


def test_replacement_is_checked_once() -> None:
    steps = [step("create-replacement", clusterIdentifier="old"), step("replace", clusterIdentifier="new")]

    (replacement,) = extract_resources(preview_json(*steps, step("delete-replaced")))

    assert replacement.properties == {"clusterIdentifier": "new"}


def test_dash_reads_preview_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(preview_json(step("create")))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    assert main(["-"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("hunter2: [", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no preview"),
        ('{"hunter2": 1}', "no preview"),
        ('{"steps": [1]}', "steps[0]: not a step of a preview"),
        ('{"steps": [{"op": "create"}]}', "steps[0].newState: not a resource"),
        ('{"steps": [{"op": "create", "newState": {"urn": 1, "type": "x"}}]}', "steps[0].newState: not a resource"),
        ('{"steps": [{"op": "same", "newState": {"urn": "", "type": "", "inputs": [1]}}]}', "steps[0].newState.inputs"),
        ('{"steps": [], "diagnostics": [{"severity": "error", "message": "hunter2"}]}', "the preview has failed"),
    ],
)
def test_invalid_preview_is_reported_in_one_line(check: Any, text: str, message: str) -> None:
    code, lines, error = check(text)

    assert (code, lines) == (2, [])
    assert error.startswith(f"/preview.json: {message}")
    assert "\n" not in error
    assert "hunter2" not in error


def test_unreadable_file_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    assert [main([str(tmp_path / name)]) for name in ("missing", "binary", ".")] == [2, 2, 2]
    lines = capsys.readouterr().err.replace(str(tmp_path), "").splitlines()
    assert lines == ["/missing: No such file or directory", "/binary: not UTF-8 text", ": Is a directory"]


def test_empty_preview_has_no_resources() -> None:
    assert extract_resources({"duration": 1, "changeSummary": {}}) == []
    with pytest.raises(PreviewError):
        extract_resources({})


def test_configuration_sets_enforcement_levels_and_certificate_lifetimes() -> None:
    configuration = parse_config(
        '{"lifetimes": {"authorityHours": 100.0, "enforcementLevel": "advisory"}, "all": "mandatory"}'
    )

    assert configuration.limits == LifetimeLimits(authority=100)
    assert (configuration.levels["lifetimes"], configuration.levels["gateways"]) == ("advisory", "mandatory")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a mapping of rules"),
        ('{"image": "mandatory"}', '"image": unknown rule; use one of all, keys, lifetimes, identifiers, gateways'),
        ('{"images": "remediate"}', "images: invalid enforcementLevel; use one of advisory, mandatory, disabled"),
        ('{"images": null}', "images: invalid enforcementLevel; use one of"),
        ('{"images": {"authorityHours": 1}}', "images: unknown property; set only enforcementLevel"),
        ('{"lifetimes": {"hours": 1}}', 'lifetimes."hours": unknown property; use one of shortestHours'),
        ('{"lifetimes": {"authorityHours": "1"}}', "lifetimes.authorityHours: not a positive whole number"),
        ('{"lifetimes": {"authorityHours": 1.5}}', "lifetimes.authorityHours: not a positive whole number"),
        ('{"lifetimes": {"authorityHours": 0}}', "lifetimes.authorityHours: not a positive whole number"),
        ('{"lifetimes": {"authorityHours": true}}', "lifetimes.authorityHours: not a positive whole number"),
    ],
)
def test_invalid_configuration_is_refused(check: Any, text: str, message: str) -> None:
    with pytest.raises(PolicyConfigError) as caught:
        parse_config(text)

    assert str(caught.value).startswith(message)
    assert check(json.dumps(preview_json()), text) == (2, [], f"/config.json: {caught.value}")


def test_closed_output_pipe_ends_check_without_traceback(tmp_path: Path) -> None:
    steps = [step("create", name=f"cluster-{number}") for number in range(2000)]
    (tmp_path / "preview.json").write_text(json.dumps(preview_json(*steps)))
    command = [sys.executable, "-m", "policy", str(tmp_path / "preview.json")]

    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stderr
    process.stdout.readline()
    process.stdout.close()

    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert errors == "2000 resources, 2000 violations, 2000 of them mandatory\n"
