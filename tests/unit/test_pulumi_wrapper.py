"""Wrapper of Pulumi in the lab's shell: options that keep tracked stack files unchanged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hack.make import pulumi_wrapper
from hack.make.pulumi_wrapper import config_file_options
from hack.toolchain import pulumi_installation

STACK_FILE = "config:\n  multicluster-mesh:clusters: { west: {} }\n"
SALT = "encryptionsalt: v1:of-the-lab"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Return a lab's folder with the salt of the stack kpaas, next to a project."""
    (tmp_path / "lab/stacks/kpaas").mkdir(parents=True)
    (tmp_path / "lab/stacks/kpaas/Pulumi.kpaas.yaml").write_text(f"{SALT}\nconfig: {{ old: 1 }}\n")
    for name in ("kpaas", "other"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text(STACK_FILE)
    (tmp_path / "Pulumi.dev.yaml").write_text(f"encryptionsalt: v1:its-own\n{STACK_FILE}")
    return tmp_path / "lab"


def options(lab: Path, *arguments: str, selected: str = "") -> list[str]:
    """Return the additional options for Pulumi in the project."""
    program = lab / "pulumi"
    program.write_text(f"#!/bin/sh\necho {selected}\n")
    program.chmod(0o755)
    environment = {"PULUMI_BACKEND_URL": f"{(lab / 'state').as_uri()}?metadata=skip"}
    return config_file_options(arguments, str(program), environment, lab.parent)


@pytest.mark.parametrize(
    "arguments",
    [
        ("preview", "-s", "kpaas"),
        ("up", "--yes", "--stack=kpaas"),
        ("-s", "kpaas", "destroy"),
        ("--color", "never", "refresh", "--stack", "organization/multicluster-mesh/kpaas"),
        ("pre", "-skpaas", "--diff"),
    ],
)
def test_pulumi_reads_salted_copy_of_current_file(lab: Path, arguments: tuple[str, ...]) -> None:
    copy = lab / "stacks/kpaas/config.yaml"

    assert options(lab, *arguments) == ["--config-file", str(copy)]
    assert copy.read_text() == f"{SALT}\n{STACK_FILE}"
    assert (lab.parent / "Pulumi.kpaas.yaml").read_text() == STACK_FILE


def test_selected_stack_needs_no_option(lab: Path) -> None:
    assert options(lab, "preview", selected="kpaas") == ["--config-file", str(lab / "stacks/kpaas/config.yaml")]
    assert options(lab, "preview") == [], "no stack is selected"


def test_stack_of_environment_needs_no_option(lab: Path) -> None:
    environment = {"PULUMI_BACKEND_URL": (lab / "state").as_uri(), "PULUMI_STACK": "kpaas"}

    options_of_preview = config_file_options(["preview"], "no-such-program", environment, lab.parent)

    assert options_of_preview == ["--config-file", str(lab / "stacks/kpaas/config.yaml")]
    assert config_file_options(["preview", "-s", "dev"], "no-such-program", environment, lab.parent) == []


def test_working_directory_is_that_of_pulumi(lab: Path) -> None:
    (lab.parent / "elsewhere").mkdir()

    assert options(lab, "-C", "elsewhere", "preview", "-s", "kpaas") == []
    assert options(lab, "--cwd=.", "preview", "-s", "kpaas") != []


@pytest.mark.parametrize(
    "arguments",
    [
        ("preview", "-s", "dev"),
        ("preview", "-s", "other"),
        ("preview", "-s", "kpaas", "--config-file", "mine.yaml"),
        ("config", "set", "up", "-s", "kpaas"),
        ("stack", "output", "-s", "kpaas"),
        (),
    ],
    ids=["file-with-salt", "not-in-lab", "own-config-file", "config", "stack", "help"],
)
def test_other_commands_are_unchanged(lab: Path, arguments: tuple[str, ...]) -> None:
    assert options(lab, *arguments) == []


@pytest.mark.parametrize("backend", ["https://api.pulumi.com", "s3://states", ""])
def test_other_backends_are_unchanged(lab: Path, backend: str) -> None:
    environment = {"PULUMI_BACKEND_URL": backend}

    assert config_file_options(["preview", "-s", "kpaas"], "pulumi", environment, lab.parent) == []


def test_wrapper_runs_next_pulumi_on_path(lab: Path) -> None:
    (lab / "pulumi").write_text('#!/bin/sh\necho "$@"\n')
    (lab / "pulumi").chmod(0o755)
    path = f"{pulumi_wrapper.FOLDER}:{Path(sys.executable).parent}:{lab}:/usr/bin:/bin"
    environment = {"PATH": path, "PULUMI_BACKEND_URL": (lab / "state").as_uri()}

    output = subprocess.run(
        ["pulumi", "preview", "-s", "kpaas"],
        cwd=lab.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert output == f"preview -s kpaas --config-file {lab / 'stacks/kpaas/config.yaml'}\n"


def test_wrapper_is_no_installation_of_pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pulumi-language-python").touch(0o755)
    monkeypatch.setenv("PATH", f"{pulumi_wrapper.FOLDER}:{tmp_path}:/usr/bin:/bin")

    assert pulumi_installation.find_on_path() is None
