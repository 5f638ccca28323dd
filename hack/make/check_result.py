"""A row of the table that `make check` and `make verify` print."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One row of the table."""

    subject: str  # a cluster, or a link as `source → target`
    check: str
    passed: bool
    detail: str
