"""Progress of a Pulumi command by its completed resources, so that a moment is independent of speed."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_POLL_INTERVAL_S = 0.05
_COMPLETED_RESOURCE = re.compile(rb"^ [-+~] .* (?:created|deleted|updated)\b", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A delay after a number of completed resources.

    `reached_s` is the time at which the measured run had completed these resources.
    """

    resource_count: int
    reached_s: float
    delay_s: float


@dataclass(frozen=True, kw_only=True)
class UpdateProgress:
    """Times in seconds at which a run without faults completed its resources; the last one is its end."""

    times: tuple[float, ...]

    def moment_at(self, fraction: float) -> Moment:
        """Return the moment at a fraction of the total time."""
        elapsed_s = fraction * self.times[-1]
        resource_count = sum(time_s <= elapsed_s for time_s in self.times[:-1])
        reached_s = self.times[resource_count - 1] if resource_count else 0.0
        return Moment(resource_count=resource_count, reached_s=reached_s, delay_s=elapsed_s - reached_s)


class OutputWatch:
    """Watch of an output file, from its current end."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = file.stat().st_size if file.exists() else 0
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the start of the watch."""
        return time.monotonic() - self._began

    @property
    def output(self) -> bytes:
        """Return the output since the start of the watch."""
        with self._file.open("rb") as file:
            file.seek(self._offset)
            return file.read()

    @property
    def resource_count(self) -> int:
        """Return the number of created, updated and deleted resources."""
        return len(_COMPLETED_RESOURCE.findall(self.output))


@contextmanager
def record_progress(file: Path) -> Iterator[list[UpdateProgress]]:
    """Record the progress of a command; the yielded list contains it after exit.

    Args:
        file: output file of the command.
    """
    watch, progress, times = OutputWatch(file), list[UpdateProgress](), list[float]()
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(_POLL_INTERVAL_S):
            now, done = watch.elapsed_s, watch.resource_count if file.exists() else 0
            times.extend([now] * (done - len(times)))

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()
    progress.append(UpdateProgress(times=(*times, watch.elapsed_s)))
