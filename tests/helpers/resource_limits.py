"""Limits on time and memory, so that a hang or unbounded growth fails a single test."""

from __future__ import annotations

import faulthandler
import resource
import signal
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

# CPU time and wall-clock time per test; memory beyond the current size of the process.
CPU_TIMEOUT_S = 5.0
WALL_TIMEOUT_S = 30.0
MAX_MEMORY_BYTES = 768 * 2**20


@contextmanager
def limit_resources() -> Iterator[None]:
    """Fail the test if the block exceeds a limit."""
    old_handlers = {number: signal.signal(number, _fail_on_limit) for number in (signal.SIGPROF, signal.SIGALRM)}
    old_limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MAX_MEMORY_BYTES, old_limits[1]))
    # Signal handlers do not run inside a hanging C library; in this case the process ends.
    faulthandler.dump_traceback_later(4 * WALL_TIMEOUT_S, exit=True)
    signal.setitimer(signal.ITIMER_PROF, CPU_TIMEOUT_S)
    signal.setitimer(signal.ITIMER_REAL, WALL_TIMEOUT_S)
    try:
        yield
    except MemoryError:
        pytest.fail(f"took more than {MAX_MEMORY_BYTES >> 20} MiB")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_AS, old_limits)
        for number, handler in old_handlers.items():
            signal.signal(number, handler)


@pytest.fixture
def limited_resources() -> Iterator[None]:
    """Limit the time and the memory of a whole test."""
    with limit_resources():
        yield


def _fail_on_limit(number: int, _: types.FrameType | None) -> NoReturn:
    limit = f"{CPU_TIMEOUT_S:g} seconds of computing" if number == signal.SIGPROF else f"{WALL_TIMEOUT_S:g} seconds"
    pytest.fail(f"took more than {limit}")
