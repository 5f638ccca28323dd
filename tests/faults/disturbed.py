"""A Pulumi command that is disturbed at a moment."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.checkout import CHECKOUT
from tests.deployment import Deployment

# Seconds after which a command hangs: Helm gives up after five minutes, and Pulumi's own waiting after ten.
_ENDS_WITHIN = 900

Disturbance = Callable[[psutil.Process], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a command ended."""

    disturbed: bool  # or else it had ended by then
    code: int
    seconds: float
    printed: str


def disturbed(
    deployment: Deployment,
    command: list[str],
    *,
    by: Disturbance,
    after: float,
    kubeconfig: Path | None = None,
) -> Run:
    """Run a Pulumi command with a disturbance, which lasts until it ends by itself or with the command.

    Args:
        deployment: whose stack it is.
        command: the arguments of `pulumi`.
        by: what disturbs, given the command's process.
        after: seconds from its beginning.
        kubeconfig: what it uses in place of the lab's own.
    """
    environment = deployment.environment
    if kubeconfig is not None:
        environment = {**environment, "KUBECONFIG": str(kubeconfig)}
    printed_before = deployment.output.stat().st_size
    began = time.monotonic()
    with deployment.output.open("a") as log:
        process = subprocess.Popen(["pulumi", *command], cwd=CHECKOUT, env=environment, stdout=log, stderr=log)
        try:
            in_time = _ended(process, after)
            if not in_time:
                with by(psutil.Process(process.pid)):
                    assert _ended(process, _ENDS_WITHIN), f"pulumi {command[0]} hangs"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return Run(
        disturbed=not in_time,
        code=process.returncode,
        seconds=time.monotonic() - began,
        printed=deployment.output.read_bytes()[printed_before:].decode(),
    )


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
