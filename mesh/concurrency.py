"""Waiting no longer than one wants to, whatever it is for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def run_concurrently(jobs: Sequence[Callable[[], T]], *, patience: float, threads: int = 1) -> list[T]:
    """The results of all jobs, in the order of the jobs; what the first one to fail raises is raised here.

    The threads are daemons: one that is still stuck, in a name server or in a credential plugin, keeps nobody waiting.

    Args:
        jobs: what to do.
        patience: seconds that may pass without any job being done.
        threads: how many jobs run at a time.

    Raises:
        TimeoutError: no job was done for too long.
    """
    waiting: queue.SimpleQueue[tuple[int, Callable[[], T]]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, T | None, Exception | None]] = queue.SimpleQueue()
    over = threading.Event()
    for item in enumerate(jobs):
        waiting.put(item)

    def work() -> None:
        while not over.is_set():
            try:
                number, job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((number, job(), None))
            except Exception as error:
                done.put((number, None, error))

    for _ in range(min(threads, len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    results: dict[int, T] = {}
    try:
        while len(results) < len(jobs):
            try:
                number, result, error = done.get(timeout=patience)
            except queue.Empty:
                raise TimeoutError(f"nothing was done for {patience:g} seconds") from None
            if error is not None:
                raise error
            results[number] = result  # type: ignore[assignment]  # None only if that is what the job gave
    finally:
        over.set()
    return [results[number] for number in range(len(jobs))]
