"""Running one command to its end, timed, or looked at for its memory."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.memory import Peak, Sampler
from benchmarks.watchdog import end_tree

# Told of what runs now (None: nothing), for whoever must end it if nobody here can.
Watch = Callable[[psutil.Process | None], None]


class CommandFailed(Exception):
    """A command that did not succeed, with the end of what it printed."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A command that succeeded."""

    seconds: float
    processor_seconds: float  # its own and those of the processes that it waited for
    peak: Peak | None  # None: nobody looked


class Runner:
    """Runs commands, one at a time; none outlives an interruption.

    Args:
        environment: of the commands, whole.
        log: the file to which goes what they print.
        watch: told of what runs.
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
    ) -> Ran:
        """Run a command.

        Args:
            command: the program and its arguments.
            folder: where it runs.
            environment: further variables.
            memory: whether its memory is looked at, which takes time from it.
            meanwhile: what is done every 20 ms as long as it runs.

        Raises:
            CommandFailed: it ended with another code than 0.
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
                # An interruption is ours to hear; the command is then ended below, with all that it has started.
                start_new_session=True,
            )
            watched = psutil.Process(process.pid)
            self._watch(watched)
            try:
                peak = None
                if memory:
                    with Sampler(watched) as sampler:
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
                end_tree(watched)
                process.wait()
                raise
            finally:
                self._watch(None)
            if process.returncode != 0:
                log.seek(start)
                printed = log.read().strip().splitlines()[-30:]
                shown = "\n".join(f"  {line}" for line in printed)
                raise CommandFailed(
                    f"{' '.join(command[:4])} … ended with {process.returncode}; its output ends:\n{shown}"
                )
        return Ran(seconds=seconds, processor_seconds=_children_seconds() - before, peak=peak)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
