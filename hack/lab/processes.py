"""Child processes: kept alive, stopped for certain, and known again by pid and start time."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_LAUNCHER = Path(__file__).with_name("exec_with_pdeathsig.py")
_LARGEST_LOG = 20_000_000  # bytes; checked when a process starts
_TICK = 0.25  # seconds between looks at a child
_CALM = 30.0  # seconds after which a process counts as having started well
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run: arguments, the whole environment, and the file that takes all output."""

    name: str
    argv: tuple[str, ...]
    log: Path
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Process:
    """One program that runs until it is stopped; when it dies it is started again, ever more slowly."""

    def __init__(self, command: Command, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
        """Nothing runs yet: `start` does that. `prepare` is awaited before the program is started again."""
        self.command = command
        self._prepare = prepare
        self.restarts = 0
        self.failures = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._create_time = 0.0
        self._keeper: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the program runs at this moment."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Run the program, and keep it running. To be called in the main thread (see `launch.py`)."""
        self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self, *, grace: float) -> None:
        """Ask the program to end; after `grace` seconds (0: at once) make it."""
        if self._keeper:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        child = self._child
        if child is None:
            return
        deadline = time.monotonic() + grace
        if grace > 0:
            _signal(child, signal.SIGTERM)
        while child.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if child.poll() is None:
            _signal(child, signal.SIGKILL)
            await asyncio.to_thread(child.wait)

    def kill(self) -> None:
        """End the program now, without waiting."""
        if self._keeper:
            self._keeper.cancel()
        if self._child is not None:
            _signal(self._child, signal.SIGKILL)

    def describe(self) -> dict[str, Any]:
        """The process as it stands in the status file."""
        return {
            "name": self.command.name,
            "pid": self._child.pid if self._child else None,
            "create_time": self._create_time,
            "running": self.running,
            "restarts": self.restarts,
            "port": self.command.port,
            "log": str(self.command.log),
        }

    def _spawn(self) -> None:
        command = self.command
        command.log.parent.mkdir(parents=True, exist_ok=True)
        if command.log.exists() and command.log.stat().st_size > _LARGEST_LOG:
            command.log.replace(command.log.with_suffix(".1.log"))
        with command.log.open("ab") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *command.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(command.environment),
                cwd=command.log.parent,
            )
        try:
            self._create_time = psutil.Process(self._child.pid).create_time()
        except psutil.NoSuchProcess:
            self._create_time = 0.0

    async def _keep(self) -> None:
        while True:
            started = time.monotonic()
            while self.running:
                await asyncio.sleep(_TICK)
                if self.failures and time.monotonic() - started > _CALM:
                    self.failures = 0
            self.failures += 1
            code = self._child.returncode if self._child else None
            pause = min(30.0, 0.25 * 2**self.failures)
            _log.warning("%s ended with %s; again in %.1f s, see %s", self.command.name, code, pause, self.command.log)
            await asyncio.sleep(pause)
            if self._prepare:
                await self._prepare()
            self.restarts += 1
            self._spawn()


def recorded(clusters: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All processes of clusters as they stand in the status file, mirrors among them."""
    return [entry for cluster in clusters for entry in (*cluster["processes"], *cluster["mirrors"])]


def record(pid: int) -> dict[str, Any]:
    """What a process is known by again.

    Raises:
        psutil.NoSuchProcess: there is none with this number.
    """
    return {"pid": pid, "create_time": psutil.Process(pid).create_time()}


def alive(entries: Iterable[Mapping[str, Any]]) -> list[psutil.Process]:
    """Those recorded processes that still run, and are still the ones that were recorded."""
    found = []
    for entry in entries:
        pid, create_time = entry.get("pid"), entry.get("create_time")
        if not pid or not create_time:
            continue
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(pid))
            # The start time is computed from the machine's boot time, which moves a little when the clock is set.
            same = abs(process.create_time() - float(create_time)) < 2
            if same and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(entries: Iterable[Mapping[str, Any]], *, seconds: float) -> list[int]:
    """Kill those recorded processes that still run; the pids of those that run even `seconds` later."""
    processes = alive(entries)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, left = psutil.wait_procs(processes, timeout=seconds)
    return [process.pid for process in left]


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)
