"""A Pulumi command that is disturbed at a moment."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from mesh.paths import PROJECT_ROOT
from tests.helpers.lab_stack import LabStack
from tests.helpers.update_progress import Moment, OutputWatch

# Seconds after which a command hangs: Helm gives up after five minutes, and Pulumi's own waiting after ten.
_COMMAND_TIMEOUT_S = 900
_POLL_INTERVAL_S = 0.05  # seconds between looks at what has been done

Disturbance = Callable[[psutil.Process], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class DisturbedRun:
    """How a command ended."""

    disturbed: bool  # or else it had ended by then
    code: int
    printed: str


def run_disturbed(
    deployment: LabStack,
    command: list[str],
    *,
    by: Disturbance,
    at: Moment,
    kubeconfig: Path | None = None,
) -> DisturbedRun:
    """Run a Pulumi command with a disturbance, which lasts until it ends by itself or with the command.

    Args:
        deployment: whose stack it is.
        command: the arguments of `pulumi`.
        by: what disturbs, given the command's process.
        at: when.
        kubeconfig: what it uses in place of the lab's own.
    """
    environment = deployment.environment
    if kubeconfig is not None:
        environment = {**environment, "KUBECONFIG": str(kubeconfig)}
    watch = OutputWatch(deployment.output)
    with deployment.output.open("a") as log:
        process = subprocess.Popen(["pulumi", *command], cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log)
        try:
            in_time = wait_for_moment(process, watch, at)
            if in_time:
                with by(psutil.Process(process.pid)):
                    assert _wait_for_exit(process, _COMMAND_TIMEOUT_S), f"pulumi {command[0]} hangs"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return DisturbedRun(disturbed=in_time, code=process.returncode, printed=watch.printed.decode())


def wait_for_moment(process: subprocess.Popen[bytes], watch: OutputWatch, at: Moment) -> bool:
    """Whether a command that runs has come so far."""
    while watch.done < at.done:
        if _wait_for_exit(process, _POLL_INTERVAL_S):
            return False
    pace = watch.seconds / at.reached if at.done else 1
    deadline = time.monotonic() + at.after * pace
    # If the next one is done sooner than in the measured run, the moment is now.
    while time.monotonic() < deadline and watch.done <= at.done:
        if _wait_for_exit(process, min(_POLL_INTERVAL_S, max(0.0, deadline - time.monotonic()))):
            return False
    return process.poll() is None


def _wait_for_exit(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
