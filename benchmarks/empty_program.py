"""Empty program for the comparison of previews: two Kubernetes providers and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.process import CommandRun

_SOURCE = Path(__file__).parent / "empty"
_OPTIONS = ("--stack", "empty", "--non-interactive", "--color=never", "--suppress-progress")


class EmptyProgram:
    """The program `benchmarks/empty`, copied to a folder where Pulumi can write a stack file.

    Args:
        lab: the lab.
    """

    def __init__(self, lab: Environment) -> None:
        self._lab = lab
        self._folder = lab.work / "empty"
        shutil.copytree(_SOURCE, self._folder, ignore=shutil.ignore_patterns("__pycache__"))
        self._run("stack", "init", "empty", "--non-interactive")

    def up(self) -> None:
        """Create the two providers in the state."""
        self._run("up", "--yes", "--skip-preview", *_OPTIONS)

    def down(self) -> None:
        """Delete the two providers from the state."""
        self._run("destroy", "--yes", "--skip-preview", *_OPTIONS)

    def preview(self, *arguments: str, memory: bool = False) -> CommandRun:
        """Run `pulumi preview`, and return its measurements."""
        return self._run("preview", *_OPTIONS, *arguments, memory=memory)

    def _run(self, *arguments: str, memory: bool = False) -> CommandRun:
        return self._lab.runner.run(["pulumi", *arguments], self._folder, memory=memory)
