"""Says what a long build is doing: a line when a part starts and ends, and one every few seconds in between."""

from __future__ import annotations

import threading
import time
from types import TracebackType

EVERY_SECONDS = 15


class Progress:
    """Counts what Go prints for each part under way, and prints the counts from a thread of its own."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._counts: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def started(self, part: str) -> None:
        """A part's build begins."""
        with self._lock:
            self._counts[part] = {"downloaded": 0, "compiled": 0}
        self._say(f"{part}: building")

    def line(self, part: str, line: str) -> None:
        """Go printed a line: the name of a package that it compiles, or of a module that it downloads."""
        with self._lock:
            if line.startswith("go: downloading"):
                self._counts[part]["downloaded"] += 1
            elif " " not in line:
                self._counts[part]["compiled"] += 1

    def ended(self, part: str) -> None:
        """A part's build is over, whichever way."""
        with self._lock:
            self._counts.pop(part, None)

    def built(self, part: str, seconds: float) -> None:
        """A part is installed."""
        self._say(f"{part}: built in {_time(seconds)}")

    def _tell(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            with self._lock:
                parts = [f"{part} {_count(counts)}" for part, counts in self._counts.items()]
            if parts:
                self._say("; ".join(parts))

    def _say(self, text: str) -> None:
        print(f"  {_time(time.monotonic() - self._began):>7}  {text}", flush=True)


def _count(counts: dict[str, int]) -> str:
    if counts["compiled"] == 0:
        return f"{counts['downloaded']} modules downloaded"
    return f"{counts['compiled']} packages compiled"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
