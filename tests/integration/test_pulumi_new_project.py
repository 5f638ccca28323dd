"""A project of a person's own, made by `pulumi new` from this repository."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Sequence, Set
from functools import partial
from pathlib import Path

import pytest
import yaml

from hack.lab.state_dir import StateDir
from hack.make import environment
from mesh.paths import PROJECT_ROOT
from tests.helpers.lab_stack import LabStack, list_all_objects, wait_until
from tests.helpers.project_files import list_project_files
from tests.helpers.pulumi_command import run_pulumi

pytestmark = pytest.mark.lab("west", "east", minutes=1)

PROJECT = "my-mesh"
CONFIG = {
    "clusters": {"west": {"gateway": {"loadBalancer": False}}, "east": {}},
    "links": [{"source": "west", "target": "east"}],
}


class Project:
    """A project in a folder, and Pulumi in it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def pulumi(self, *arguments: str) -> str:
        """What it prints."""
        ended = run_pulumi(self.folder, self.environment, *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def required_paths() -> list[str]:
    """Return the paths that `pulumi up` needs, from the one line of docs/own-clusters.md that lists them."""
    lines = (PROJECT_ROOT / "docs/own-clusters.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("`pulumi up` needs ")]
    return [path.rstrip("/") for path in re.findall(r"`([^`]+)`", line)[1:]]


def delete_all_but(folder: Path, patterns: Sequence[str]) -> None:
    """Delete everything in a folder that matches none of the patterns."""
    for path in folder.iterdir():
        if any(path.match(pattern) for pattern in patterns):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@pytest.fixture
def project(lab: StateDir, tmp_path: Path) -> Iterator[Project]:
    """A project made of what the work tree has, without what its user may delete."""
    template = tmp_path / "template"
    for name in list_project_files():
        if (PROJECT_ROOT / name).is_file():
            (template / name).parent.mkdir(parents=True, exist_ok=True)
            (template / name).write_bytes((PROJECT_ROOT / name).read_bytes())
    environment.create_folders(lab)
    made = Project(tmp_path, environment.build_environment(lab, "2.14.10"))
    made.pulumi("new", str(template), "--dir", PROJECT, "--name", PROJECT, "--generate-only", "--yes")
    made.folder = tmp_path / PROJECT
    # In place of `pulumi install`, which would ask a package registry.
    (made.folder / ".venv").symlink_to(sys.prefix)
    delete_all_but(made.folder, [*required_paths(), ".venv"])
    yield made


def test_project_from_pulumi_new_links_two_clusters(lab: StateDir, project: Project, tmp_path: Path) -> None:
    wanted = yaml.safe_load((project.folder / "Pulumi.yaml").read_text())
    assert wanted["name"] == PROJECT
    assert "template" not in wanted
    project.pulumi("stack", "init", "prod")
    stack_file = project.folder / "Pulumi.prod.yaml"
    salt = yaml.safe_load(stack_file.read_text())
    config = {f"{PROJECT}:{key}": value for key, value in CONFIG.items()}
    stack_file.write_text(yaml.safe_dump({**salt, "config": config}))
    # Only its tools are used; the stack is the project's.
    looking = LabStack(lab, tmp_path, "unused", CONFIG)
    before = {context: list_all_objects(looking, context).keys() for context in ("west", "east")}
    try:
        project.pulumi("preview", "--stack", "prod")
        # One operation at a time leaves the program the fewest threads (components/hooks.py).
        project.pulumi("up", "--stack", "prod", "--yes", "--skip-preview", "--parallel=1")

        (link,) = looking.list_objects("west", "links.multicluster.linkerd.io", "--all-namespaces")
        assert link["spec"]["targetClusterName"] == "east"
        assert link["spec"]["gatewayAddress"]
        namespace = looking.list_objects("west", "namespaces", "--field-selector", "metadata.name=linkerd")[0]
        assert namespace["metadata"]["annotations"]["pulumi.com/patchFieldManager"] == f"{PROJECT}-prod"
    finally:
        project.pulumi("destroy", "--stack", "prod", "--yes", "--skip-preview")
        project.pulumi("stack", "rm", "--stack", "prod", "--yes")
    for context, there in before.items():
        # The controllers of Kubernetes clear away after what is deleted.
        assert wait_until(partial(_has_only, looking, context, there)), f"something is left in {context}"


def _has_only(looking: LabStack, context: str, names: Set[str]) -> bool:
    return list_all_objects(looking, context).keys() == names
