"""Commands of the documentation, run in a copy of the project on a lab."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import yaml

from hack.lab.state_dir import StateDir
from mesh.config import PROJECT
from mesh.paths import PROJECT_ROOT
from tests.helpers.documented_commands import Command
from tests.helpers.project_files import list_project_files
from tests.helpers.stack_configs import shipped_config
from tests.helpers.stack_under_test import StackUnderTest

# `kubectl get` is repeated for this long: a controller may still have to create the object.
_GET_TIMEOUT_S = 30
# Runs the recipe of a target without its builds. A unit test compares the recipes with the Makefile.
_MAKE = """\
#!/bin/sh
target= stack=dev review=
for word in "$@"; do
  case $word in
    -s) ;;
    STACK=*) stack=${word#STACK=} ;;
    REVIEW=*) review=${word#REVIEW=} ;;
    *) target=$word ;;
  esac
done
exec python -m hack.make "$target" "$stack" $review
"""


class PageRunner:
    """Runs commands of a page with a shell, as a reader would paste them.

    Args:
        folder: folder in which the commands run.
        environment: their whole environment.
        replacements: words that differ from the page, such as the contexts of a stack under test.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], replacements: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self._replacements = dict(replacements or {})
        programs = folder / ".page-programs"
        programs.mkdir(exist_ok=True)
        (programs / "make").write_text(_MAKE)
        (programs / "make").chmod(0o755)
        self._environment = {
            **environment,
            "PATH": f"{programs}:{environment['PATH']}",
            # The pages show commands with a confirmation.
            "PULUMI_SKIP_CONFIRMATIONS": "true",
            # Nothing outside this machine may be needed. Linkerd's CLI would ask for its latest version.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def run_all(self, commands: Iterable[Command]) -> None:
        """Run commands in order; each has the exit code and the lines of output that its page shows."""
        for command in commands:
            self.run(command)

    def run(self, command: Command) -> str:
        """Run one command, require the result that its page shows, and return its output."""
        text = self._replace(command.text)
        began = time.monotonic()
        while True:
            result = subprocess.run(
                ["bash", "-o", "pipefail", "-c", text],
                cwd=self.folder,
                env=self._environment,
                # For commands that ask for a value.
                input="a value for the prompt\n",
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            expected = Command(page=command.page, text=text, output=tuple(map(self._replace, command.output)))
            missing = expected.missing_lines(result.stdout)
            succeeded = (result.returncode != 0) == command.must_fail and not missing
            is_read = re.search(r"\bget\b|multicluster (check|gateways)", text) is not None
            if succeeded or not is_read or time.monotonic() > began + _GET_TIMEOUT_S:
                break
            time.sleep(1)
        print(f"{time.monotonic() - began:5.1f} s  {command}")
        details = f"{command}\nexit code {result.returncode}\n{result.stdout}\n{result.stderr}"
        assert (result.returncode != 0) == command.must_fail, details
        assert missing == [], f"the output lacks {missing}\n{details}"
        return result.stdout

    def _replace(self, text: str) -> str:
        for old, new in self._replacements.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", new.replace("\\", r"\\"), text)
        return text


def stop_lab(runner: PageRunner, command: Command, lab: StateDir) -> None:
    """Run a `make down` that stops the whole lab of this process."""
    with ThreadPoolExecutor(1) as pool:
        # The process that started the supervisor has to reap it, else it remains as a zombie.
        ended = pool.submit(psutil.Process(lab.read_status()["supervisor"]["pid"]).wait)
        runner.run(command)
    ended.result()


def copy_project(folder: Path) -> Path:
    """Copy the project without its tests, and return the copy: commands of a page may change files."""
    for name in list_project_files():
        if (PROJECT_ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT_ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    for block in re.findall(r"^```json\n(.*?)^```", (PROJECT_ROOT / "docs/policy.md").read_text(), re.M | re.S):
        (folder / "policy.json").write_text(block)
    return folder


def run_in_project(project: Path, lab: StateDir, mesh: StackUnderTest, **replacements: str) -> PageRunner:
    """Return a runner for the commands of a stack, in a copy of the project with the stack's file.

    Args:
        project: the copy.
        lab: the lab.
        mesh: the stack.
        replacements: further words that differ from the page.
    """
    config = {f"{PROJECT}:{key}": value for key, value in mesh.config.items()}
    (project / f"Pulumi.{mesh.name}.yaml").write_text(yaml.safe_dump({"config": config}, sort_keys=False))
    environment = {**os.environ, "LAB_HOME": str(lab.folder)}
    exports = subprocess.run(
        [sys.executable, "-m", "hack.make", "env", mesh.name],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for word in shlex.split(exports.replace("export ", "")):
        name, _, value = word.partition("=")
        environment[name] = value
    # The commands name their stack themselves.
    del environment["PULUMI_STACK"]
    return PageRunner(project, environment, {**_context_replacements(mesh), **replacements})


def _context_replacements(mesh: StackUnderTest) -> dict[str, str]:
    """Return the contexts in the shipped stack file that differ from those of the stack under test."""
    if not (PROJECT_ROOT / f"Pulumi.{mesh.name}.yaml").exists():
        return {}
    shipped = {name: (each or {}).get("context", name) for name, each in shipped_config(mesh.name)["clusters"].items()}
    return {context: mesh.contexts[name] for name, context in shipped.items() if context != mesh.contexts[name]}
