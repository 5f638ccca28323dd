"""Contender: this project's Pulumi program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.contenders.contender import PROGRAM_NAME
from benchmarks.environment import Environment
from benchmarks.process import CommandRun
from hack.make.lab_pulumi_stack import LabPulumiStack
from hack.make.stack import LabStack
from mesh.paths import PROJECT_ROOT

# With these variables Pulumi writes the state only when a command ends (https://github.com/pulumi/pulumi/issues/10668).
STATE_ONCE = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}

# The output is not shown.
_PLAIN_OUTPUT = ("--non-interactive", "--color=never", "--suppress-progress")


class PulumiProgram:
    """`pulumi up` and `pulumi destroy` of one stack.

    The stack is initialised outside the measured time, like the chart repository of Helm: both happen only once.

    Args:
        lab: the lab.
        stack: the stack.
        name: the name in the results.
        environment: further variables for Pulumi.
    """

    def __init__(
        self,
        lab: Environment,
        stack: LabStack,
        name: str = PROGRAM_NAME,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._lab = lab
        self._variables = dict(environment or {})
        self._stack = stack.name
        self._engine = LabPulumiStack(lab.state_dir, stack, lab.runner.environment)
        self._engine.initialise()

    def up(self) -> None:
        """Run `pulumi up`."""
        self._run(self._engine.up_command())

    def down(self) -> None:
        """Run `pulumi destroy`."""
        self._run(self._engine.destroy_command())

    def preview(self, *arguments: str, memory: bool = False, meanwhile: Callable[[], None] | None = None) -> CommandRun:
        """Run `pulumi preview`, and return its measurements."""
        return self._run(self._engine.preview_command(*arguments), memory=memory, meanwhile=meanwhile)

    def up_with(self, *arguments: str, memory: bool = False, meanwhile: Callable[[], None] | None = None) -> CommandRun:
        """Run `pulumi up` with further options, and return its measurements."""
        return self._run(self._engine.up_command(*arguments), memory=memory, meanwhile=meanwhile)

    def down_with(self, *arguments: str, meanwhile: Callable[[], None] | None = None) -> CommandRun:
        """Run `pulumi destroy` with further options, and return its measurements."""
        return self._run([*self._engine.destroy_command(), *arguments], meanwhile=meanwhile)

    def count_resources(self) -> int:
        """Return the number of the stack's resources, without the stack itself."""
        state_json = subprocess.run(
            ["pulumi", "stack", "export", "--stack", self._stack],
            cwd=PROJECT_ROOT,
            env=self._lab.runner.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return len(json.loads(state_json)["deployment"].get("resources", ())) - 1

    def before_checks(self) -> None:
        """Do nothing: this program sets the labels that Linkerd's checks need."""

    def _run(
        self,
        arguments: Sequence[str],
        folder: Path = PROJECT_ROOT,
        *,
        memory: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> CommandRun:
        """Run a Pulumi command, and return its measurements."""
        command = ["pulumi", *arguments, *(option for option in _PLAIN_OUTPUT if option not in arguments)]
        # Pulumi supports `--event-log` only with this variable.
        debugging = {"PULUMI_DEBUG_COMMANDS": "true"} if "--event-log" in command else {}
        environment = {**self._variables, **debugging}
        return self._lab.runner.run(command, folder, environment=environment, memory=memory, meanwhile=meanwhile)
