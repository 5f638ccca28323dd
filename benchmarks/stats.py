"""What several runs of the same thing come to, and one thing against another."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and extremes of several values."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return Spread(median=statistics.median(values), least=min(values), most=max(values))

    def text(self, digits: int) -> str:
        """`2.1 (1.9–2.4)`."""
        return f"{self.median:.{digits}f} ({self.least:.{digits}f}–{self.most:.{digits}f})"


def ratios(ours: Sequence[float], peers: Sequence[float]) -> list[float]:
    """Ours by the peer's, each pair of one round, so that what slows a whole round down cancels out.

    Raises:
        ValueError: the one was measured in other rounds than the other.
    """
    return [one / other for one, other in zip(ours, peers, strict=True)]
