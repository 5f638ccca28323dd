"""Memory of a process and all its child processes."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import psutil

_SAMPLE_INTERVAL_S = 0.05
_MIB = 2**20


@dataclass
class MemoryPeak:
    """The peak of the memory of all processes together, in MiB, and the share of each program at that moment."""

    total: float = 0
    programs: dict[str, float] = field(default_factory=dict)
    anonymous: dict[str, float] = field(default_factory=dict)  # without the pages of files, which processes share
    processes: dict[str, int] = field(default_factory=dict)


class MemorySampler:
    """A context manager that samples the memory every 50 ms.

    A page that several processes share counts proportionally for each of them (PSS) if the system supports it. Else
    only unshared pages count (USS). Sampling takes processor time, so a run with samples is not timed.
    """

    def __init__(self, process: psutil.Process) -> None:
        self.peak = MemoryPeak()
        self._process = process
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(_SAMPLE_INTERVAL_S):
            sample = self._sample()
            if sample.total > self.peak.total:
                self.peak = sample

    def _sample(self) -> MemoryPeak:
        memory: defaultdict[str, float] = defaultdict(float)
        anonymous: defaultdict[str, float] = defaultdict(float)
        number: Counter[str] = Counter()
        total = 0.0
        try:
            tree = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return MemoryPeak()
        for each in tree:
            try:
                full, name = each.memory_full_info(), each.name()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            size = getattr(full, "pss", full.uss) / _MIB
            total += size
            memory[name] += size
            anonymous[name] += (full.rss - full.shared if hasattr(full, "shared") else full.uss) / _MIB
            number[name] += 1
        return MemoryPeak(total=total, programs=dict(memory), anonymous=dict(anonymous), processes=dict(number))
