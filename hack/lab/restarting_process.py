"""Child processes that are restarted when they end, stopped reliably, and recognized by pid and start time."""

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
_MAX_LOG_BYTES = 20_000_000  # checked when a process starts
_POLL_INTERVAL_S = 0.25
_STABLE_AFTER_S = 30.0  # the failure count is reset after this run time
_FIRST_RESTART_DELAY_S, _MAX_RESTART_DELAY_S = 0.5, 30.0
# The start time is computed from the machine's boot time, which changes a little when the clock is set.
_START_TIME_TOLERANCE_S = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Command:
    """Arguments, whole environment, and log file of a program."""

    name: str
    argv: tuple[str, ...]
    log: Path
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class RestartingProcess:
    """One program that is restarted when it ends, with growing delays, until it is stopped."""

    def __init__(self, command: Command, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
        """Prepare the process without starting it; `prepare` is awaited before each restart."""
        self.command = command
        self._prepare = prepare
        self.restarts = 0
        self.failures = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._create_time = 0.0
        self._supervision: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Return whether the program runs now."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Run the program, and restart it when it ends.

        Call this in the main thread: the program ends with the thread that starts it (`exec_with_pdeathsig.py`).
        """
        self._spawn()
        self._supervision = asyncio.create_task(self._supervise())

    async def stop(self, *, grace: float) -> None:
        """Stop the program: SIGTERM, and SIGKILL after `grace` seconds (0: SIGKILL at once)."""
        if self._supervision:
            self._supervision.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervision
        child = self._child
        if child is None:
            return
        deadline = time.monotonic() + grace
        if grace > 0:
            _send_signal(child, signal.SIGTERM)
        while child.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if child.poll() is None:
            _send_signal(child, signal.SIGKILL)
            await asyncio.to_thread(child.wait)

    def kill(self) -> None:
        """Kill the program, without waiting."""
        if self._supervision:
            self._supervision.cancel()
        if self._child is not None:
            _send_signal(self._child, signal.SIGKILL)

    def describe(self) -> dict[str, Any]:
        """Return the process' entry for the status file."""
        return {
            "name": self.command.name,
            "pid": self._child.pid if self._child else None,
            "create_time": self._create_time,
            "running": self.is_running,
            "restarts": self.restarts,
            "port": self.command.port,
            "log": str(self.command.log),
        }

    def _spawn(self) -> None:
        command = self.command
        command.log.parent.mkdir(parents=True, exist_ok=True)
        if command.log.exists() and command.log.stat().st_size > _MAX_LOG_BYTES:
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

    async def _supervise(self) -> None:
        while True:
            started = time.monotonic()
            while self.is_running:
                await asyncio.sleep(_POLL_INTERVAL_S)
                if self.failures and time.monotonic() - started > _STABLE_AFTER_S:
                    self.failures = 0
            self.failures += 1
            code = self._child.returncode if self._child else None
            delay = min(_MAX_RESTART_DELAY_S, _FIRST_RESTART_DELAY_S * 2 ** (self.failures - 1))
            _log.warning(
                "%s ended with exit code %s; restart in %.1f s, log %s",
                self.command.name,
                code,
                delay,
                self.command.log,
            )
            await asyncio.sleep(delay)
            if self._prepare:
                await self._prepare()
            self.restarts += 1
            self._spawn()


def list_records(clusters: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the entries of all processes of clusters in the status file, mirrors included."""
    return [entry for cluster in clusters for entry in (*cluster["processes"], *cluster["mirrors"])]


def create_record(pid: int) -> dict[str, Any]:
    """Return the pid and the start time of a process, which identify it later.

    Raises:
        psutil.NoSuchProcess: there is no process with this pid.
    """
    return {"pid": pid, "create_time": psutil.Process(pid).create_time()}


def find_alive(entries: Iterable[Mapping[str, Any]]) -> list[psutil.Process]:
    """Return the recorded processes that still run, identified by pid and start time."""
    processes = []
    for entry in entries:
        pid, create_time = entry.get("pid"), entry.get("create_time")
        if not pid or not create_time:
            continue
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(pid))
            is_same = abs(process.create_time() - float(create_time)) < _START_TIME_TOLERANCE_S
            if is_same and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def kill_recorded(entries: Iterable[Mapping[str, Any]], *, seconds: float) -> list[int]:
    """Kill the recorded processes that still run; return the pids of those that still run `seconds` later."""
    processes = find_alive(entries)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, survivors = psutil.wait_procs(processes, timeout=seconds)
    return [process.pid for process in survivors]


def _send_signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)
