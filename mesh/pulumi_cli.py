"""Wrapper of the Pulumi CLI: commands run without prompts, and failures are one typed error."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_MINIMUM_VERSION = "3.218.0"


class PulumiCommandError(Exception):
    """A Pulumi command that failed, or that could not be started.

    Args:
        command: the command line.
        reason: the last line that the command printed as an error, or the reason why it did not run.
        stdout: captured standard output.
        stderr: captured standard error.
    """

    def __init__(self, command: Sequence[str], reason: str, *, stdout: str = "", stderr: str = "") -> None:
        super().__init__(f"{' '.join(command)}: {reason}")
        self.stdout = stdout
        self.stderr = stderr


def run_pulumi(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float | None = None,
) -> str:
    """Run a Pulumi command and return its standard output.

    Args:
        arguments: the command without `pulumi`. `--non-interactive` is appended.
        environment: the whole environment of the process; None for that of this process.
        folder: the working directory; None for the current one.
        timeout_s: time limit in seconds; None for no limit.

    Raises:
        PulumiCommandError: Pulumi is not installed, or the command failed or timed out.
    """
    command = ["pulumi", *arguments, "--non-interactive"]
    return _run(command, environment, folder, timeout_s, subprocess.PIPE).stdout


def stream_pulumi(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    log: IO[str] | None = None,
) -> None:
    """Run a Pulumi command and pass its output through.

    Args:
        arguments: the command without `pulumi`. Nothing is appended, so that a terminal shows Pulumi's progress.
        environment: the whole environment of the process; None for that of this process.
        folder: the working directory; None for the current one.
        log: file for the output; None for the output of this process.

    Raises:
        PulumiCommandError: Pulumi is not installed, or the command failed.
    """
    _run(["pulumi", *arguments], environment, folder, None, log)


def _run(
    command: Sequence[str],
    environment: Mapping[str, str] | None,
    folder: Path | None,
    timeout_s: float | None,
    output: int | IO[str] | None,
) -> subprocess.CompletedProcess[str]:
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,  # a prompt would wait indefinitely
            stdout=output,
            stderr=output,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PulumiCommandError(command, f"no response within {error.timeout:g} seconds") from None
    except OSError as error:
        raise PulumiCommandError(
            ["pulumi"], f"{error.strerror}: not started; install Pulumi {_MINIMUM_VERSION} or later"
        ) from None
    if process.returncode != 0:
        stdout, stderr = process.stdout or "", process.stderr or ""
        lines = (stderr.strip() or stdout.strip()).splitlines()
        reason = lines[-1] if lines else f"exit code {process.returncode}"
        raise PulumiCommandError(command, reason, stdout=stdout, stderr=stderr)
    return process
