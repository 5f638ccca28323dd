"""The stack's own state, asked for by the program."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pulumi
import pytest

from mesh import stack_state


@pytest.fixture
def pulumi_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Pulumi's CLI; what the file `said` holds is what it does."""
    program = tmp_path / "pulumi"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n. {tmp_path}/said\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, value in {"organization": "someone", "project": "mesh", "stack": "prod"}.items():
        monkeypatch.setattr(pulumi, f"get_{name}", lambda value=value: value)
    return tmp_path / "said"


def test_the_state_is_that_of_the_running_stack(pulumi_says: Path, tmp_path: Path) -> None:
    urn = "urn:pulumi:prod::mesh::kubernetes:core/v1:Secret::one"
    (tmp_path / "state").write_text(
        json.dumps({"deployment": {"resources": [{"urn": urn, "type": "t", "custom": True}]}})
    )
    pulumi_says.write_text(f"cat {tmp_path}/state")

    (found,) = stack_state.read_stack_state()

    assert found.urn == urn
    assert (tmp_path / "asked").read_text().split() == [
        "stack",
        "export",
        "--stack",
        "someone/mesh/prod",
        "--non-interactive",
    ]


def test_a_stack_that_has_made_nothing_yet_has_nothing(pulumi_says: Path) -> None:
    pulumi_says.write_text('echo \'{"version": 3, "deployment": {}}\'')

    assert stack_state.read_stack_state() == []


def test_a_state_that_cannot_be_read_is_an_error_that_says_what_to_do(pulumi_says: Path) -> None:
    pulumi_says.write_text("echo 'error: passphrase must be set' >&2; exit 255")

    with pytest.raises(
        stack_state.StackStateError, match=r"passphrase must be set: while a cluster is declared unreachable"
    ):
        stack_state.read_stack_state()
