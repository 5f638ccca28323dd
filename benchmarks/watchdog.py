"""Stops the benchmarks' lab, and the command that was being measured, once the benchmarks are gone, however they went.

    python -m benchmarks.watchdog <the lab's folder>

Its standard input is a pipe from the benchmarks. Each line says what runs: a pid and its start time, or nothing. The
pipe's end is theirs, so it works against `kill -9`, too.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from pathlib import Path

import psutil

from hack.lab import lifecycle
from hack.lab.state_dir import StateDir


def main() -> int:
    """Wait for the end, and clear away."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    last = ""
    for line in sys.stdin:
        last = line.strip()
    if last:
        pid, started = last.split()
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(pid))
            if process.create_time() == float(started):
                end_tree(process)
    home = StateDir(folder=Path(sys.argv[1]))
    lifecycle.stop(home, [], delete=True)
    shutil.rmtree(home.folder, ignore_errors=True)
    return 0


def end_tree(process: psutil.Process) -> None:
    """Kill a process and all that it runs; providers, too, which are in process groups of their own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()


if __name__ == "__main__":
    sys.exit(main())
