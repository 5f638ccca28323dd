"""The memory of a process and of all that it starts."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import psutil

# Seconds between looks.
_EVERY = 0.05
_MIB = 2**20


@dataclass
class Peak:
    """The most memory that all processes had at one moment, in MiB, and what each program had of it then."""

    total: float = 0
    programs: dict[str, float] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)


class Sampler:
    """Looks every 50 ms from when it is entered until it is left.

    A page that several processes share counts for each of them by its share (PSS), where the system tells; else only
    what they don't share (USS). Looking takes time of its own, so that nothing is timed meanwhile.
    """

    def __init__(self, process: psutil.Process) -> None:
        self.peak = Peak()
        self._process = process
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_EVERY):
            seen = self._look()
            if seen.total > self.peak.total:
                self.peak = seen

    def _look(self) -> Peak:
        memory: defaultdict[str, float] = defaultdict(float)
        number: Counter[str] = Counter()
        total = 0.0
        try:
            tree = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return Peak()
        for each in tree:
            try:
                full, name = each.memory_full_info(), each.name()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            size = getattr(full, "pss", full.uss) / _MIB
            total += size
            memory[name] += size
            number[name] += 1
        return Peak(total=total, programs=dict(memory), processes=dict(number))
