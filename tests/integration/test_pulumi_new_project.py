"""A user's project, created by `pulumi new` from this repository."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import yaml

from hack.lab.programs import LAB_LINKERD_VERSION
from hack.lab.state_dir import StateDir
from hack.make import environment
from mesh.paths import PROJECT_ROOT
from tests.helpers.certificates import DAY, IssuedCertificate
from tests.helpers.documented_commands import NEW_PROJECT, Command, commands_of_test
from tests.helpers.page_runner import PageRunner
from tests.helpers.project_files import list_project_files
from tests.helpers.pulumi_command import run_pulumi
from tests.helpers.stack_under_test import StackUnderTest, list_all_objects, wait_until

pytestmark = pytest.mark.lab("west", "east", minutes=1)

PROJECT = "my-mesh"
CONFIG = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh"}


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


class DocumentedProject:
    """A project that the commands of README.md, docs/own-clusters.md and docs/trust.md create and use.

    Each command is run once; `remaining` contains the others.

    Args:
        parent: folder for the project and its template.
        variables: environment of the commands.
    """

    def __init__(self, parent: Path, variables: dict[str, str]) -> None:
        self.folder = parent / PROJECT
        self.remaining = commands_of_test(NEW_PROJECT)
        self._environment = variables
        template = parent / "template"
        for name in list_project_files():
            if (PROJECT_ROOT / name).is_file():
                (template / name).parent.mkdir(parents=True, exist_ok=True)
                (template / name).write_bytes((PROJECT_ROOT / name).read_bytes())
        self._replacements = {
            "<this repository's URL>": str(template),
            "<a context>": "west",
            "<another one>": "east",
            "kind-west": "west",
            "kind-east": "east",
        }
        self._runner = PageRunner(parent, variables, self._replacements)

    def create(self) -> None:
        """Create the project and its stack, as docs/own-clusters.md describes for the Pulumi that the lab builds."""
        short, own = self._take("pulumi new ")
        assert short.text.startswith(own.text), "the pages show different commands"
        # `pulumi install` would contact a package registry.
        self._runner.run(replace(own, text=f"{own.text} --generate-only"))
        self.run(f"cd {PROJECT}$")
        # Replaces `pulumi install`.
        (self.folder / ".venv").symlink_to(sys.prefix)
        delete_all_but(self.folder, [*required_paths(), ".venv"])
        self._runner = PageRunner(self.folder, self._environment, self._replacements)
        self.pulumi("stack", "init", "prod")
        # The lab does not have the charts of the default release.
        self.pulumi("config", "set", "--path", "linkerd.version", LAB_LINKERD_VERSION)

    def create_certificates(self) -> None:
        """Run the commands of OpenSSL, or write such certificates on a machine without OpenSSL."""
        commands = self._take(r"(?s).*\bopenssl\b", r"printf .*issuer\.ext$")
        if shutil.which("openssl") is not None:
            for command in commands:
                self._runner.run(command)
            return
        now = datetime.now(UTC)
        certificate = partial(IssuedCertificate, begin=now - DAY, end=now + 365 * DAY)
        anchor = certificate()
        authorities = {"anchor": anchor}
        for cluster in ("west", "east"):
            authorities[cluster] = certificate(name="identity.linkerd.cluster.local", signer=anchor, path_length=0)
        for name, authority in authorities.items():
            (self.folder / f"{name}.crt").write_text(authority.pem)
            (self.folder / f"{name}.key").write_text(authority.private_key)

    def run(self, *patterns: str, page: str = "", option: str = "") -> str:
        """Run the remaining commands that begin with one of these patterns, and return their output.

        Args:
            patterns: regular expressions.
            page: page of the commands; empty: all pages.
            option: option that is added to each command.
        """
        commands = self._take(*patterns, page=page)
        return "".join(self._runner.run(replace(each, text=f"{each.text}{option}")) for each in commands)

    def pulumi(self, *arguments: str) -> None:
        """Run a command of Pulumi that no page shows."""
        result = run_pulumi(self.folder, self._environment, *arguments)
        assert result.returncode == 0, result.stdout + result.stderr

    def _take(self, *patterns: str, page: str = "") -> list[Command]:
        commands = [
            command
            for command in self.remaining
            if any(re.match(pattern, command.text) for pattern in patterns) and page in ("", command.page)
        ]
        assert commands, f"no page shows {patterns}"
        self.remaining = [command for command in self.remaining if command not in commands]
        return commands


def test_documented_commands_link_and_destroy_two_clusters(lab: StateDir, tmp_path: Path) -> None:
    environment.create_folders(lab)
    project = DocumentedProject(tmp_path, environment.build_environment(lab, LAB_LINKERD_VERSION))
    # Only the tools of this object are used; the stack belongs to the project.
    lab_stack = StackUnderTest(lab, tmp_path, "unused", CONFIG)
    before = {context: list_all_objects(lab_stack, context).keys() for context in ("west", "east")}
    project.create()
    project_file = yaml.safe_load((project.folder / "Pulumi.yaml").read_text())
    assert project_file["name"] == PROJECT
    assert "template" not in project_file
    try:
        project.run("pulumi config set", page="README.md")
        project.create_certificates()
        project.run("pulumi config set -s prod --path trust.anchor.certificate", "for cluster")
        # One operation at a time leaves the program the fewest threads (components/sdk/hooks.py).
        project.run("pulumi preview && pulumi up", option=" --parallel=1")

        (link,) = lab_stack.list_objects("west", "links.multicluster.linkerd.io", "--all-namespaces")
        assert link["spec"]["targetClusterName"] == "east"
        assert link["spec"]["gatewayAddress"]
        namespace = lab_stack.list_objects("west", "namespaces", "--field-selector", "metadata.name=linkerd")[0]
        assert namespace["metadata"]["annotations"]["pulumi.com/patchFieldManager"] == f"{PROJECT}-prod"
        roots = lab_stack.get_object("east", "configmap", "linkerd-identity-trust-roots", "linkerd")["data"]
        assert roots["ca-bundle.crt"].strip() == (project.folder / "anchor.crt").read_text().strip()
        assert "trustAnchor" in project.run("pulumi stack output", page="docs/trust.md")

        # A service of the user, and credentials in a secret.
        project.run("pulumi preview$", "pulumi up$", "linkerd ", "kubectl --context ")
        project.run("kubectl config view")
        project.run("pulumi up --target")
        project.run("pulumi destroy$")
    finally:
        # Without effect after the documented command.
        project.pulumi("destroy", "--stack", "prod", "--yes", "--skip-preview")
    for context, names in before.items():
        # Kubernetes controllers delete dependent objects asynchronously.
        assert wait_until(partial(_has_only, lab_stack, context, names)), f"objects remain in {context}"
    # The key is an alternative to the issuers above.
    project.run("pulumi config set -s prod --secret --path trust.anchor.key")
    project.run("pulumi stack rm prod$")
    assert project.remaining == []


def _has_only(lab_stack: StackUnderTest, context: str, names: Set[str]) -> bool:
    return list_all_objects(lab_stack, context).keys() == names
