"""How far a Pulumi command has come, by what it says that it has done: a moment means the same at any speed."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_POLL_INTERVAL_S = 0.05  # seconds between looks
_COMPLETED_RESOURCE = re.compile(rb"^ [-+~] .* (?:created|deleted|updated)\b", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """So many seconds after so many resources, in a run that took so many seconds until there."""

    done: int
    reached: float
    after: float


@dataclass(frozen=True, kw_only=True)
class UpdateProgress:
    """When an undisturbed run had done its resources, in seconds, the last time being its end."""

    times: tuple[float, ...]

    def moment(self, fraction: float) -> Moment:
        """The moment at a fraction of the whole time."""
        seconds = fraction * self.times[-1]
        done = sum(at <= seconds for at in self.times[:-1])
        reached = self.times[done - 1] if done else 0.0
        return Moment(done=done, reached=reached, after=seconds - reached)


class OutputWatch:
    """What is appended to a file of output from now on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = file.stat().st_size if file.exists() else 0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def printed(self) -> bytes:
        """All of it."""
        with self._file.open("rb") as file:
            file.seek(self._offset)
            return file.read()

    @property
    def done(self) -> int:
        """How many resources have been made, changed or removed."""
        return len(_COMPLETED_RESOURCE.findall(self.printed))


@contextmanager
def record_progress(file: Path) -> Iterator[list[UpdateProgress]]:
    """The progress of what runs meanwhile; there once this is left.

    Args:
        file: takes its output.
    """
    watch, found, times = OutputWatch(file), list[UpdateProgress](), list[float]()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_POLL_INTERVAL_S):
            now, done = watch.seconds, watch.done if file.exists() else 0
            times.extend([now] * (done - len(times)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
    found.append(UpdateProgress(times=(*times, watch.seconds)))
