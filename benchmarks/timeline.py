"""When each resource of an update began and ended, as Pulumi tells it while it runs.

The event log has whole seconds only, so its lines are stamped here, within 20 ms of being written.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import table

_MOST = 12  # rows
# What comes before the first resource.
PROGRAM = "the engine, Python, its imports, the questions to the clusters"
ENGINE = "the engine, which runs no program"


@dataclass
class _Step:
    name: str
    began: float
    ended: float | None = None


class Timeline:
    """One update's.

    Args:
        path: the event log; must not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""
        self._began = 0.0
        self._last = 0.0
        self._steps: dict[str, _Step] = {}

    def begin(self) -> None:
        """Count from now."""
        self._began = time.perf_counter()

    @property
    def options(self) -> tuple[str, str]:
        """What Pulumi must be told."""
        return "--event-log", str(self._path)

    def look(self) -> None:
        """Take in what has been written since."""
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
            # A component is there as long as what it is made of.
            if (metadata.get("new") or metadata.get("old") or {}).get("custom"):
                self._steps[metadata["urn"]] = _Step(_called(metadata["urn"]), now)
        for ended in ("resOutputsEvent", "resOpFailedEvent"):
            if ended in event and event[ended]["metadata"]["urn"] in self._steps:
                self._steps[event[ended]["metadata"]["urn"]].ended = now

    def markdown(self, what: str, *, before: str) -> str:
        """The longest steps, in the order in which they began.

        Args:
            what: the command.
            before: what it is at before the first of them.
        """
        done = [step for step in self._steps.values() if step.ended is not None]
        if not done:
            return f"Pulumi told of no resource during {what}."
        longest = sorted(done, key=lambda step: (step.ended or 0) - step.began, reverse=True)[:_MOST]
        rows = [
            (step.name, f"{step.began:.2f}", f"{step.ended or 0:.2f}", f"{(step.ended or 0) - step.began:.2f}")
            for step in sorted(longest, key=lambda step: step.began)
        ]
        first, last = min(step.began for step in done), max(step.ended or 0 for step in done)
        head = (
            f"One `{what}`, by Pulumi's own events: the first resource began after {first:.2f} s ({before}), the last "
            f"ended after {last:.2f} s, and Pulumi itself after {self._last:.2f} s. Of {len(done)} resources, "
            "those that took longest:"
        )
        return f"{head}\n\n{table(['resource', 'began, s', 'ended, s', 'took, s'], rows)}"


def _called(urn: str) -> str:
    kind, name = urn.rsplit("::", 2)[1:]
    return f"{kind.rsplit('$', 1)[-1].rsplit(':', 1)[-1]} {name}"
