"""A project of a person's own, made by `pulumi new` from this repository."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Set
from functools import partial
from pathlib import Path

import pytest
import yaml

from hack.lab.state_dir import StateDir
from hack.make import environment
from mesh.paths import PROJECT_ROOT
from tests.helpers.fake_pulumi import pulumi
from tests.helpers.lab_stack import Deployment, comes_true, everything
from tests.helpers.paths import listed

pytestmark = pytest.mark.lab("west", "east", minutes=1)

PROJECT = "my-mesh"
# What the docs say can be deleted of it.
NOT_NEEDED = (
    *("lab", "dev", "toolchain", "tests", ".ci", "docs", "Makefile", "pyproject.toml", "requirements-dev.txt"),
    *("Pulumi.dev.yaml", "Pulumi.kpaas.yaml", "Pulumi.openstack-nks.yaml", "README.md", "CONTRIBUTING.md"),
    *("policy", "review", "forge", ".github", ".gitlab-ci.yml", "stack.schema.json"),
)
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
        ended = pulumi(self.folder, self.environment, *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


@pytest.fixture
def project(lab: StateDir, tmp_path: Path) -> Iterator[Project]:
    """A project made of what the work tree has, without what its user may delete."""
    template = tmp_path / "template"
    for name in listed():
        if (PROJECT_ROOT / name).is_file():
            (template / name).parent.mkdir(parents=True, exist_ok=True)
            (template / name).write_bytes((PROJECT_ROOT / name).read_bytes())
    environment.prepare(lab)
    made = Project(tmp_path, environment.merged(lab, "2.14.10"))
    made.pulumi("new", str(template), "--dir", PROJECT, "--name", PROJECT, "--generate-only", "--yes")
    made.folder = tmp_path / PROJECT
    # In place of `pulumi install`, which would ask a package registry.
    (made.folder / ".venv").symlink_to(sys.prefix)
    subprocess.run(["rm", "-r", "--", *NOT_NEEDED], cwd=made.folder, check=True)
    yield made


def test_pulumi_new_makes_a_project_that_links_two_clusters(lab: StateDir, project: Project, tmp_path: Path) -> None:
    wanted = yaml.safe_load((project.folder / "Pulumi.yaml").read_text())
    assert wanted["name"] == PROJECT
    assert "template" not in wanted
    project.pulumi("stack", "init", "prod")
    stack_file = project.folder / "Pulumi.prod.yaml"
    salt = yaml.safe_load(stack_file.read_text())
    config = {f"{PROJECT}:{key}": value for key, value in CONFIG.items()}
    stack_file.write_text(yaml.safe_dump({**salt, "config": config}))
    # Only its tools are used; the stack is the project's.
    looking = Deployment(lab, tmp_path, "unused", CONFIG)
    before = {context: everything(looking, context).keys() for context in ("west", "east")}
    try:
        project.pulumi("preview", "--stack", "prod")
        # One operation at a time leaves the program the fewest threads (components/hooks.py).
        project.pulumi("up", "--stack", "prod", "--yes", "--skip-preview", "--parallel=1")

        (link,) = looking.objects("west", "links.multicluster.linkerd.io", "--all-namespaces")
        assert link["spec"]["targetClusterName"] == "east"
        assert link["spec"]["gatewayAddress"]
        namespace = looking.objects("west", "namespaces", "--field-selector", "metadata.name=linkerd")[0]
        assert namespace["metadata"]["annotations"]["pulumi.com/patchFieldManager"] == f"{PROJECT}-prod"
    finally:
        project.pulumi("destroy", "--stack", "prod", "--yes", "--skip-preview")
        project.pulumi("stack", "rm", "--stack", "prod", "--yes")
    for context, there in before.items():
        # The controllers of Kubernetes clear away after what is deleted.
        assert comes_true(partial(_has_just, looking, context, there)), f"something is left in {context}"


def _has_just(looking: Deployment, context: str, names: Set[str]) -> bool:
    return everything(looking, context).keys() == names
