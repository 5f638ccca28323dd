"""Watchdog that stops the benchmarks' lab and the running command after the end of the benchmarks' process.

    python -m benchmarks.watchdog <the lab's folder>

Standard input is a pipe from the benchmarks. Each line contains the pid and the start time of the running command, or
nothing. The pipe is closed even after `kill -9` of the benchmarks.
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
    """Wait for the end of the benchmarks, then kill the command and delete the lab."""
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
                kill_tree(process)
    state_dir = StateDir(folder=Path(sys.argv[1]))
    lifecycle.stop(state_dir, [], delete=True)
    shutil.rmtree(state_dir.folder, ignore_errors=True)
    return 0


def kill_tree(process: psutil.Process) -> None:
    """Kill a process and all its children, including providers, which have their own process groups."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()


if __name__ == "__main__":
    sys.exit(main())
