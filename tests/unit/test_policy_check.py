"""The rules as a check over a preview's JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from policy import LifetimeLimits, PreviewError, extract_resources
from policy.check import main
from policy.config import PolicyConfigError, parse_config

PROVIDER = "pulumi:providers:kubernetes"


def step(op: str, name: str = "west", kind: str = PROVIDER, **inputs: Any) -> dict[str, Any]:
    """A step of a preview."""
    urn = f"urn:pulumi:prod::mesh::{kind}::{name}"
    return {"op": op, "urn": urn, "newState": {"urn": urn, "type": kind, "inputs": inputs}}


def preview(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"steps": list(steps), "duration": 1, "changeSummary": {"create": len(steps)}}


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the check on a text; gives its exit code, its lines, and what it says of itself."""

    def run(text: str, config: str | None = None) -> tuple[int, list[str], str]:
        (tmp_path / "preview.json").write_text(text)
        arguments = [str(tmp_path / "preview.json")]
        if config is not None:
            (tmp_path / "config.json").write_text(config)
            arguments += ["--config", str(tmp_path / "config.json")]
        code = main(arguments)
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.replace(str(tmp_path), "").rstrip("\n")

    return run


def test_a_preview_without_violations_passes(check: Any) -> None:
    code, lines, said = check(json.dumps(preview(step("create", clusterIdentifier="west"))))

    assert (code, lines, said) == (0, [], "1 resources, 0 violations, 0 of them mandatory")


def test_a_violation_is_one_line_with_resource_path_rule_and_remedy(check: Any) -> None:
    code, lines, _ = check(json.dumps(preview(step("create"))))

    assert code == 1
    assert lines == [
        "mandatory: west (pulumi:providers:kubernetes): identifiers: clusterIdentifier: not set, so that a changed "
        "kubeconfig replaces all that is on the cluster; set it to the cluster's name in the stack file"
    ]


def test_what_is_only_advised_lets_a_preview_pass(check: Any) -> None:
    text = json.dumps(preview(step("create", kind="kubernetes:core/v1:Namespace")))

    code, lines, said = check(text)
    assert (code, len(lines), said) == (0, 1, "1 resources, 1 violations, 0 of them mandatory")
    assert check(text, '{"namespaces": "mandatory"}')[0] == 1
    assert check(text, '{"all": "disabled"}')[:2] == (0, [])


@pytest.mark.parametrize("op", ["same", "create", "update", "replace", "create-replacement", "import"])
def test_what_stays_is_judged(check: Any, op: str) -> None:
    assert check(json.dumps(preview(step(op))))[0] == 1


@pytest.mark.parametrize("op", ["delete", "delete-replaced", "read", "discard", "refresh", None])
def test_what_goes_or_is_only_read_is_not_judged(check: Any, op: str) -> None:
    assert check(json.dumps(preview(step(op))))[:2] == (0, [])


def test_a_replacement_is_judged_once() -> None:
    steps = [step("create-replacement", clusterIdentifier="old"), step("replace", clusterIdentifier="new")]

    (found,) = extract_resources(preview(*steps, step("delete-replaced")))

    assert found.properties == {"clusterIdentifier": "new"}


def test_a_preview_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(preview(step("create")))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    assert main(["-"]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
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
def test_a_broken_file_is_told_in_one_line(check: Any, text: str, said: str) -> None:
    code, lines, told = check(text)

    assert (code, lines) == (2, [])
    assert told.startswith(f"/preview.json: {said}")
    assert "\n" not in told
    assert "hunter2" not in told


def test_a_file_that_is_missing_or_no_text_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    assert [main([str(tmp_path / name)]) for name in ("missing", "binary", ".")] == [2, 2, 2]
    lines = capsys.readouterr().err.replace(str(tmp_path), "").splitlines()
    assert lines == ["/missing: No such file or directory", "/binary: no text", ": Is a directory"]


def test_an_empty_preview_has_nothing_to_judge() -> None:
    assert extract_resources({"duration": 1, "changeSummary": {}}) == []
    with pytest.raises(PreviewError):
        extract_resources({})


def test_a_configuration_says_how_strict_rules_are_and_how_long_certificates_live() -> None:
    found = parse_config('{"lifetimes": {"authorityHours": 100.0, "enforcementLevel": "advisory"}, "all": "mandatory"}')

    assert found.bounds == LifetimeLimits(authority=100)
    assert (found.levels["lifetimes"], found.levels["gateways"]) == ("advisory", "mandatory")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "a mapping of rules was expected"),
        ('{"image": "mandatory"}', '"image": no such rule; known are all, keys, lifetimes, identifiers, gateways'),
        ('{"images": "remediate"}', "images: enforcementLevel is one of advisory, mandatory, disabled"),
        ('{"images": null}', "images: enforcementLevel is one of"),
        ('{"images": {"authorityHours": 1}}', "images: only enforcementLevel can be set"),
        ('{"lifetimes": {"hours": 1}}', 'lifetimes."hours": no such property; known are shortestHours, authorityHours'),
        ('{"lifetimes": {"authorityHours": "1"}}', "lifetimes.authorityHours: not a number of hours"),
        ('{"lifetimes": {"authorityHours": 1.5}}', "lifetimes.authorityHours: not a number of hours"),
        ('{"lifetimes": {"authorityHours": 0}}', "lifetimes.authorityHours: not a number of hours"),
        ('{"lifetimes": {"authorityHours": true}}', "lifetimes.authorityHours: not a number of hours"),
    ],
)
def test_a_wrong_configuration_is_refused(check: Any, text: str, said: str) -> None:
    with pytest.raises(PolicyConfigError) as caught:
        parse_config(text)

    assert str(caught.value).startswith(said)
    assert check(json.dumps(preview()), text) == (2, [], f"/config.json: {caught.value}")
