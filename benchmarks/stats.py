"""Statistics of repeated measurements: spread and ratios."""

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
    def from_values(values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return Spread(median=statistics.median(values), least=min(values), most=max(values))

    def text(self, digits: int) -> str:
        """Return the spread as text, such as `2.1 (1.9–2.4)`."""
        return f"{self.median:.{digits}f} ({self.least:.{digits}f}–{self.most:.{digits}f})"


def round_ratios(values: Sequence[float], peer_values: Sequence[float]) -> list[float]:
    """Return the ratio in each round, so that a slow round affects both values.

    Raises:
        ValueError: the two series have different numbers of rounds.
    """
    return [value / peer for value, peer in zip(values, peer_values, strict=True)]
