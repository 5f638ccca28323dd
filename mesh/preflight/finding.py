"""A finding of a check, in the form of a validation error: path, value, rule, remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """The effect of a finding on an update."""

    ERROR = "error"
    WARNING = "warning"
    UPDATE_ERROR = "error for up"  # a warning in a preview, which needs no write access


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A condition that prevents `up`, or may do so."""

    path: str
    value: str
    rule: str
    remedy: str
    severity: Severity

    def __str__(self) -> str:
        return f"{self.path}: {self.value}: {self.rule}; {self.remedy}"
