"""What was found, as the settings' faults are told: path, value, rule, remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_LONGEST = 200


class Severity(Enum):
    """How much a finding weighs."""

    ERROR = "error"
    WARNING = "warning"
    UPDATE_ERROR = "error for up"  # a warning in a preview, which needs no write access


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that stands in the way of `up`, or may do so."""

    path: str
    value: str
    rule: str
    remedy: str
    severity: Severity

    def __str__(self) -> str:
        return f"{self.path}: {self.value}: {self.rule}; {self.remedy}"


def plain(text: object, longest: int = _LONGEST) -> str:
    """What others have written, fit for a message: one line, no control characters, no object addresses, not long."""
    shown = re.sub(r"<[^<>]* at 0x[0-9a-fA-F]+>", "", str(text))
    shown = " ".join("".join(char if char.isprintable() else " " for char in shown).split())
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."
