"""Limits of a wait for ready objects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WaitLimits:
    """Limits of one wait."""

    timeout_s: float
    fails_early: bool = True  # whether a cause that cannot resolve itself ends the wait
