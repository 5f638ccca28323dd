"""Stack state, as the program reads it with Pulumi's CLI."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pulumi
import pytest

from mesh import stack_state


@pytest.fixture
def pulumi_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the script that a fake Pulumi CLI runs."""
    program = tmp_path / "pulumi"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n. {tmp_path}/script\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, value in {"organization": "someone", "project": "mesh", "stack": "prod"}.items():
        monkeypatch.setattr(pulumi, f"get_{name}", lambda value=value: value)
    return tmp_path / "script"


def test_state_of_running_stack_is_read(pulumi_script: Path, tmp_path: Path) -> None:
    urn = "urn:pulumi:prod::mesh::kubernetes:core/v1:Secret::one"
    (tmp_path / "state").write_text(
        json.dumps({"deployment": {"resources": [{"urn": urn, "type": "t", "custom": True}]}})
    )
    pulumi_script.write_text(f"cat {tmp_path}/state")

    (resource,) = stack_state.read_stack_state()

    assert resource.urn == urn
    assert (tmp_path / "arguments").read_text().split() == [
        "stack",
        "export",
        "--stack",
        "someone/mesh/prod",
        "--non-interactive",
    ]


def test_new_stack_has_empty_state(pulumi_script: Path) -> None:
    pulumi_script.write_text('echo \'{"version": 3, "deployment": {}}\'')

    assert stack_state.read_stack_state() == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'error: passphrase must be set' >&2; exit 255", "passphrase must be set"),
        ("echo 'warning: no JSON'", "Expecting value: line 1 column 1 .char 0."),
    ],
)
def test_unreadable_state_is_error_with_remedy(pulumi_script: Path, script: str, reason: str) -> None:
    pulumi_script.write_text(script)

    with pytest.raises(
        stack_state.StackStateError,
        match=rf"stack state: someone/mesh/prod: cannot be read, .*{reason}\); log in",
    ):
        stack_state.read_stack_state()
