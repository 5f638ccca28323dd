"""A user's project, created by `pulumi new` from this repository."""

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
from tests.helpers.project_files import list_project_files
from tests.helpers.pulumi_command import run_pulumi
from tests.helpers.stack_configs import with_lab_release
from tests.helpers.stack_under_test import StackUnderTest, list_all_objects, wait_until

pytestmark = pytest.mark.lab("west", "east", minutes=1)

PROJECT = "my-mesh"
CONFIG = {
    "clusters": {"west": {"gateway": {"loadBalancer": False}}, "east": {}},
    "links": [{"source": "west", "target": "east"}],
}


class NewProject:
    """A Pulumi project in a folder."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def pulumi(self, *arguments: str) -> str:
        """Run Pulumi and return its output."""
        result = run_pulumi(self.folder, self.environment, *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


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
def project(lab: StateDir, tmp_path: Path) -> Iterator[NewProject]:
    """Create a project from the work tree, without the files that a user can delete."""
    template = tmp_path / "template"
    for name in list_project_files():
        if (PROJECT_ROOT / name).is_file():
            (template / name).parent.mkdir(parents=True, exist_ok=True)
            (template / name).write_bytes((PROJECT_ROOT / name).read_bytes())
    environment.create_folders(lab)
    new_project = NewProject(tmp_path, environment.build_environment(lab, "2.14.10"))
    new_project.pulumi("new", str(template), "--dir", PROJECT, "--name", PROJECT, "--generate-only", "--yes")
    new_project.folder = tmp_path / PROJECT
    # Replaces `pulumi install`, which would contact a package registry.
    (new_project.folder / ".venv").symlink_to(sys.prefix)
    delete_all_but(new_project.folder, [*required_paths(), ".venv"])
    yield new_project


def test_project_from_pulumi_new_links_two_clusters(lab: StateDir, project: NewProject, tmp_path: Path) -> None:
    project_file = yaml.safe_load((project.folder / "Pulumi.yaml").read_text())
    assert project_file["name"] == PROJECT
    assert "template" not in project_file
    project.pulumi("stack", "init", "prod")
    stack_file = project.folder / "Pulumi.prod.yaml"
    salt = yaml.safe_load(stack_file.read_text())
    config = {f"{PROJECT}:{key}": value for key, value in with_lab_release(CONFIG).items()}
    stack_file.write_text(yaml.safe_dump({**salt, "config": config}))
    # Only the tools of this object are used; the stack belongs to the project.
    lab_stack = StackUnderTest(lab, tmp_path, "unused", CONFIG)
    before = {context: list_all_objects(lab_stack, context).keys() for context in ("west", "east")}
    try:
        project.pulumi("preview", "--stack", "prod")
        # One operation at a time leaves the program the fewest threads (components/sdk/hooks.py).
        project.pulumi("up", "--stack", "prod", "--yes", "--skip-preview", "--parallel=1")

        (link,) = lab_stack.list_objects("west", "links.multicluster.linkerd.io", "--all-namespaces")
        assert link["spec"]["targetClusterName"] == "east"
        assert link["spec"]["gatewayAddress"]
        namespace = lab_stack.list_objects("west", "namespaces", "--field-selector", "metadata.name=linkerd")[0]
        assert namespace["metadata"]["annotations"]["pulumi.com/patchFieldManager"] == f"{PROJECT}-prod"
    finally:
        project.pulumi("destroy", "--stack", "prod", "--yes", "--skip-preview")
        project.pulumi("stack", "rm", "--stack", "prod", "--yes")
    for context, names in before.items():
        # Kubernetes controllers delete dependent objects asynchronously.
        assert wait_until(partial(_has_only, lab_stack, context, names)), f"objects remain in {context}"


def _has_only(lab_stack: StackUnderTest, context: str, names: Set[str]) -> bool:
    return list_all_objects(lab_stack, context).keys() == names
