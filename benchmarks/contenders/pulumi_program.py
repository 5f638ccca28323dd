"""This program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.process import Ran
from hack.make.pulumi_cli import PulumiStack
from hack.make.stack import LabStack
from mesh.paths import PROJECT_ROOT

# Pulumi's own variables for a state that is written when a command ends (https://github.com/pulumi/pulumi/issues/10668).
STATE_ONCE = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}

# Nobody looks at it.
_PLAIN = ("--non-interactive", "--color=never", "--suppress-progress")


class Ours:
    """`pulumi up` and `pulumi destroy`.

    The stack itself is made beforehand, as Helm is told beforehand where charts are: once in a mesh's life.

    Args:
        ground: the lab.
        stack: the stack.
        name: how results call it.
        environment: further variables of Pulumi.
    """

    def __init__(
        self, ground: Environment, stack: LabStack, name: str = "ours", *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._ground = ground
        self._further = dict(environment or {})
        self._stack = stack.name
        self._engine = PulumiStack(ground.home, stack, ground.runner.environment)
        self._engine.initialise()

    def up(self) -> None:
        """`pulumi up`."""
        self.timed(self._engine.up_command())

    def down(self) -> None:
        """`pulumi destroy`."""
        self.timed(self._engine.destroy_command())

    def preview(self, *arguments: str, memory: bool = False, meanwhile: Callable[[], None] | None = None) -> Ran:
        """`pulumi preview`."""
        return self.timed(self._engine.preview_command(*arguments), memory=memory, meanwhile=meanwhile)

    def up_with(self, *arguments: str, memory: bool = False, meanwhile: Callable[[], None] | None = None) -> Ran:
        """`pulumi up` with further options, or looked at."""
        return self.timed(self._engine.up_command(*arguments), memory=memory, meanwhile=meanwhile)

    def down_with(self, *arguments: str, meanwhile: Callable[[], None] | None = None) -> Ran:
        """`pulumi destroy` with further options."""
        return self.timed([*self._engine.destroy_command(), *arguments], meanwhile=meanwhile)

    def resources(self) -> int:
        """How many the stack has, but for itself."""
        printed = subprocess.run(
            ["pulumi", "stack", "export", "--stack", self._stack],
            cwd=PROJECT_ROOT,
            env=self._ground.runner.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return len(json.loads(printed)["deployment"].get("resources", ())) - 1

    def before_checks(self) -> None:
        """Nothing."""

    def timed(
        self,
        arguments: Sequence[str],
        folder: Path = PROJECT_ROOT,
        *,
        memory: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> Ran:
        """Any command of Pulumi."""
        command = ["pulumi", *arguments, *(option for option in _PLAIN if option not in arguments)]
        # Without it Pulumi knows no `--event-log`.
        debugging = {"PULUMI_DEBUG_COMMANDS": "true"} if "--event-log" in command else {}
        environment = {**self._further, **debugging}
        return self._ground.runner.run(command, folder, environment=environment, memory=memory, meanwhile=meanwhile)
