"""Jobs that run at the same time, with a limit on the wait for the next result."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def run_concurrently(jobs: Sequence[Callable[[], T]], *, idle_timeout_s: float, threads: int = 1) -> list[T]:
    """Return the results of all jobs, in the order of the jobs; raise the first error of a job.

    The threads are daemons. A thread that hangs in a name look-up or a credential plugin blocks nothing.

    Args:
        jobs: functions to call.
        idle_timeout_s: seconds that may pass until the next job ends.
        threads: number of jobs that run at the same time.

    Raises:
        TimeoutError: no job ended in time.
    """
    waiting: queue.SimpleQueue[tuple[int, Callable[[], T]]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, T | None, Exception | None]] = queue.SimpleQueue()
    stop = threading.Event()
    for item in enumerate(jobs):
        waiting.put(item)

    def work() -> None:
        while not stop.is_set():
            try:
                index, job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, job(), None))
            except Exception as error:
                done.put((index, None, error))

    for _ in range(min(threads, len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    results: dict[int, T] = {}
    try:
        while len(results) < len(jobs):
            try:
                index, result, error = done.get(timeout=idle_timeout_s)
            except queue.Empty:
                raise TimeoutError(f"no result within {idle_timeout_s:g} seconds") from None
            if error is not None:
                raise error
            results[index] = result  # type: ignore[assignment]  # None only if the job returned None
    finally:
        stop.set()
    return [results[index] for index in range(len(jobs))]
