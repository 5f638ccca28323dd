"""A line of the table that `make check` prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One line of the table."""

    subject: str
    check: str
    passed: bool
    detail: str
