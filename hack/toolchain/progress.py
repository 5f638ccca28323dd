"""Progress of long builds: a line at the start and the end of an artifact, and a line every few seconds between."""

from __future__ import annotations

import threading
import time
from types import TracebackType

REPORT_INTERVAL_S = 15


class Progress:
    """Progress of concurrent builds, counted from Go's output and printed by a separate thread."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._counts: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report_periodically, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def start(self, artifact: str) -> None:
        """Report that the build of an artifact starts."""
        with self._lock:
            self._counts[artifact] = {"downloaded": 0, "compiled": 0}
        self._print(f"{artifact}: building")

    def count_line(self, artifact: str, line: str) -> None:
        """Count a line of Go's output: a compiled package or a downloaded module."""
        with self._lock:
            if line.startswith("go: downloading"):
                self._counts[artifact]["downloaded"] += 1
            elif " " not in line:
                self._counts[artifact]["compiled"] += 1

    def end(self, artifact: str) -> None:
        """Stop to count for an artifact whose build has succeeded or failed."""
        with self._lock:
            self._counts.pop(artifact, None)

    def report_built(self, artifact: str, seconds: float) -> None:
        """Report that an artifact is installed, and its build time in seconds."""
        self._print(f"{artifact}: built in {_format_duration(seconds)}")

    def _report_periodically(self) -> None:
        while not self._ended.wait(REPORT_INTERVAL_S):
            with self._lock:
                counts = [f"{artifact}: {_format_counts(counts)}" for artifact, counts in self._counts.items()]
            if counts:
                self._print("; ".join(counts))

    def _print(self, text: str) -> None:
        print(f"  {_format_duration(time.monotonic() - self._began):>7}  {text}", flush=True)


def _format_counts(counts: dict[str, int]) -> str:
    if counts["compiled"] == 0:
        return f"{counts['downloaded']} modules downloaded"
    return f"{counts['compiled']} packages compiled"


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
