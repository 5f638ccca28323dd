"""Pulumi commands with a fault that starts at a given moment."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from mesh.paths import PROJECT_ROOT
from tests.helpers.stack_under_test import StackUnderTest
from tests.helpers.update_progress import Moment, OutputWatch

# A command that takes longer hangs: `up` waits five minutes for ready objects, and Pulumi's await logic after ten.
_COMMAND_TIMEOUT_S = 900
_POLL_INTERVAL_S = 0.05

FaultContext = Callable[[psutil.Process], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class FaultedRun:
    """Result of a command."""

    was_fault_injected: bool  # False: the command ended before the moment
    exit_code: int
    output: str


def run_with_fault(
    lab_stack: StackUnderTest,
    command: list[str],
    *,
    fault: FaultContext,
    moment: Moment,
    kubeconfig: Path | None = None,
) -> FaultedRun:
    """Run a Pulumi command with a fault that ends at the latest with the command.

    Args:
        lab_stack: stack of the command.
        command: the arguments of `pulumi`.
        fault: context manager around the rest of the command; its argument is the command's process.
        moment: start of the fault.
        kubeconfig: replacement for the lab's kubeconfig.
    """
    environment = lab_stack.environment
    if kubeconfig is not None:
        environment = {**environment, "KUBECONFIG": str(kubeconfig)}
    watch = OutputWatch(lab_stack.output)
    with lab_stack.output.open("a") as log:
        process = subprocess.Popen(["pulumi", *command], cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log)
        try:
            was_fault_injected = wait_for_moment(process, watch, moment)
            if was_fault_injected:
                with fault(psutil.Process(process.pid)):
                    assert _wait_for_exit(process, _COMMAND_TIMEOUT_S), f"pulumi {command[0]} hangs"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return FaultedRun(was_fault_injected=was_fault_injected, exit_code=process.returncode, output=watch.output.decode())


def wait_for_moment(process: subprocess.Popen[bytes], watch: OutputWatch, moment: Moment) -> bool:
    """Wait for a moment of a running command; return False if the command ends first."""
    while watch.resource_count < moment.resource_count:
        if _wait_for_exit(process, _POLL_INTERVAL_S):
            return False
    pace = watch.elapsed_s / moment.reached_s if moment.resource_count else 1
    deadline = time.monotonic() + moment.delay_s * pace
    # The next resource can complete sooner than in the measured run; then the moment has come.
    while time.monotonic() < deadline and watch.resource_count <= moment.resource_count:
        if _wait_for_exit(process, min(_POLL_INTERVAL_S, max(0.0, deadline - time.monotonic()))):
            return False
    return process.poll() is None


def _wait_for_exit(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return False
    return True
