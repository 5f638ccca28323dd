"""A hang, or memory without end, as the failure of one test and not of all that come after it."""

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

# Seconds of computing, and of waiting beside it; bytes beyond what the process has already.
CPU_TIMEOUT_S = 5.0
WALL_TIMEOUT_S = 30.0
MAX_MEMORY_BYTES = 768 * 2**20


@contextmanager
def limit_resources() -> Iterator[None]:
    """Fail what computes, waits or grows for too long."""
    before = {number: signal.signal(number, _fail_on_limit) for number in (signal.SIGPROF, signal.SIGALRM)}
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MAX_MEMORY_BYTES, limits[1]))
    # No handler runs inside a library that doesn't come back; then the process ends.
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
        resource.setrlimit(resource.RLIMIT_AS, limits)
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def limited_resources() -> Iterator[None]:
    """The same for a whole test."""
    with limit_resources():
        yield


def _fail_on_limit(number: int, _: types.FrameType | None) -> NoReturn:
    limit = f"{CPU_TIMEOUT_S:g} seconds of computing" if number == signal.SIGPROF else f"{WALL_TIMEOUT_S:g} seconds"
    pytest.fail(f"took more than {limit}")
