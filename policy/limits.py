"""Limits for the lifetimes of certificates."""

from __future__ import annotations

from dataclasses import dataclass

_YEAR_HOURS = 366 * 24


@dataclass(frozen=True, kw_only=True)
class LifetimeLimits:
    """Lifetimes in hours. The certificates that the program creates by default are within them, even in leap years."""

    shortest: int = 24  # minimum of any certificate: a shorter one expires before the next working day
    authority: int = 10 * _YEAR_HOURS  # maximum of a self-signed CA
    certificate: int = _YEAR_HOURS  # maximum of any other certificate, issuers included
