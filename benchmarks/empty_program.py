"""The peer of a preview: a Pulumi program that makes two Kubernetes providers and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.process import Ran

_SOURCE = Path(__file__).parent / "empty"
_OPTIONS = ("--stack", "empty", "--non-interactive", "--color=never", "--suppress-progress")


class Empty:
    """`benchmarks/empty`, copied to where Pulumi may write a stack file beside it.

    Args:
        ground: the lab.
    """

    def __init__(self, ground: Environment) -> None:
        self._ground = ground
        self._folder = ground.work / "empty"
        shutil.copytree(_SOURCE, self._folder, ignore=shutil.ignore_patterns("__pycache__"))
        self._run("stack", "init", "empty", "--non-interactive")

    def up(self) -> None:
        """Write the two providers into the state."""
        self._run("up", "--yes", "--skip-preview", *_OPTIONS)

    def down(self) -> None:
        """Take them out of it."""
        self._run("destroy", "--yes", "--skip-preview", *_OPTIONS)

    def preview(self, *arguments: str, memory: bool = False) -> Ran:
        """`pulumi preview`."""
        return self._run("preview", *_OPTIONS, *arguments, memory=memory)

    def _run(self, *arguments: str, memory: bool = False) -> Ran:
        return self._ground.runner.run(["pulumi", *arguments], self._folder, memory=memory)
