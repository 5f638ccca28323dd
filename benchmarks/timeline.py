"""Start and end times of each resource in an update, from Pulumi's event log.

The log contains whole seconds only, so this module records the time at which it reads each line, every 20 ms.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import render_table

_MAX_ROWS = 12  # rows
# The work before the first resource.
PROGRAM = "the engine, Python, its imports, the preflight"
ENGINE = "the engine, which runs no program"


@dataclass
class _Step:
    name: str
    began: float
    ended: float | None = None


class Timeline:
    """The timeline of one update.

    Args:
        path: the event log, which must not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self._began = 0.0
        self._last = 0.0
        self._steps: dict[str, _Step] = {}

    def begin(self) -> None:
        """Set the start time to now."""
        self._began = time.perf_counter()

    @property
    def options(self) -> tuple[str, str]:
        """Return Pulumi's options that write the event log."""
        return "--event-log", str(self._path)

    def read_events(self) -> None:
        """Read the events that Pulumi has written since the last call."""
        if not self._path.exists():
            return
        now = time.perf_counter() - self._began
        with self._path.open("rb") as log:
            log.seek(self._offset)
            content = log.read()
        self._offset += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            if line.strip():
                self._take(json.loads(line), now)

    def _take(self, event: dict[str, Any], now: float) -> None:
        self._last = now
        if "resourcePreEvent" in event:
            metadata = event["resourcePreEvent"]["metadata"]
            # Components are left out, because they last as long as their children.
            if (metadata.get("new") or metadata.get("old") or {}).get("custom"):
                self._steps[metadata["urn"]] = _Step(_format_resource(metadata["urn"]), now)
        for ended in ("resOutputsEvent", "resOpFailedEvent"):
            if ended in event and event[ended]["metadata"]["urn"] in self._steps:
                self._steps[event[ended]["metadata"]["urn"]].ended = now

    def markdown(self, command: str, *, before: str) -> str:
        """Return a table of the longest steps, in the order of their start.

        Args:
            command: the command.
            before: a description of the work before the first step.
        """
        done = [step for step in self._steps.values() if step.ended is not None]
        if not done:
            return f"Pulumi reported no resource during {command}."
        longest = sorted(done, key=lambda step: (step.ended or 0) - step.began, reverse=True)[:_MAX_ROWS]
        rows = [
            (step.name, f"{step.began:.2f}", f"{step.ended or 0:.2f}", f"{(step.ended or 0) - step.began:.2f}")
            for step in sorted(longest, key=lambda step: step.began)
        ]
        first, last = min(step.began for step in done), max(step.ended or 0 for step in done)
        head = (
            f"One `{command}`, from Pulumi's events: the first resource began after {first:.2f} s ({before}), the last "
            f"one ended after {last:.2f} s, and Pulumi itself after {self._last:.2f} s. The slowest resources of "
            f"{len(done)}:"
        )
        return f"{head}\n\n{render_table(['resource', 'began, s', 'ended, s', 'took, s'], rows)}"


def _format_resource(urn: str) -> str:
    kind, name = urn.rsplit("::", 2)[1:]
    return f"{kind.rsplit('$', 1)[-1].rsplit(':', 1)[-1]} {name}"
