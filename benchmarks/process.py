"""Runner of commands that measures their time or their memory."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.memory import MemoryPeak, MemorySampler
from benchmarks.watchdog import kill_tree

# Called with the running process (None: nothing runs); the watchdog kills it if this process is killed.
Watch = Callable[[psutil.Process | None], None]


class CommandError(Exception):
    """A command has failed; the message contains the end of its output."""


@dataclass(frozen=True, kw_only=True)
class CommandRun:
    """The measurements of a successful command."""

    seconds: float
    processor_seconds: float  # the command and its child processes
    peak: MemoryPeak | None  # None: not measured


class Runner:
    """Runner of one command at a time, which is killed after an interruption.

    Args:
        environment: the whole environment of the commands.
        log: the file for their output.
        watch: is called with the running process.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, watch: Watch = lambda process: None) -> None:
        self.environment = dict(environment)
        self._log = log
        self._watch = watch

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        memory: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> CommandRun:
        """Run a command, and return its measurements.

        Args:
            command: the program and its arguments.
            folder: the working directory.
            environment: further variables.
            memory: whether to sample the memory, which slows the command down.
            meanwhile: is called every 20 ms while the command runs.

        Raises:
            CommandError: the exit code is not 0.
        """
        with self._log.open("a+") as log:
            log.seek(0, 2)
            start = log.tell()
            before = _children_seconds()
            began = time.perf_counter()
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env={**self.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # SIGINT reaches only this process, which then kills the command with all its children.
                start_new_session=True,
            )
            tree_root = psutil.Process(process.pid)
            self._watch(tree_root)
            try:
                peak = None
                if memory:
                    with MemorySampler(tree_root) as sampler:
                        process.wait()
                    peak = sampler.peak
                elif meanwhile is not None:
                    while process.poll() is None:
                        meanwhile()
                        time.sleep(0.02)
                else:
                    process.wait()
                seconds = time.perf_counter() - began
            except BaseException:
                kill_tree(tree_root)
                process.wait()
                raise
            finally:
                self._watch(None)
            if process.returncode != 0:
                log.seek(start)
                end_of_output = log.read().strip().splitlines()[-30:]
                indented_lines = "\n".join(f"  {line}" for line in end_of_output)
                raise CommandError(
                    f"{' '.join(command[:4])} …: exit code {process.returncode}; see the end of its output:\n"
                    f"{indented_lines}"
                )
        return CommandRun(seconds=seconds, processor_seconds=_children_seconds() - before, peak=peak)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
