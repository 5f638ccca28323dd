"""A violation of a rule by a resource, and its message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Pulumi's names: mandatory stops the update, advisory is only reported, disabled rules are skipped.
Level = Literal["advisory", "mandatory", "disabled"]
PropertyPath = Sequence[str | int]


@dataclass(frozen=True, kw_only=True, order=True)
class Violation:
    """A violation. No field contains a value that could be a key."""

    urn: str
    rule: str  # rule name, such as `images`
    path: str  # path in the resource's inputs, such as `spec.containers[0].image`
    message: str
    remedy: str
    level: Level
    type: str
    name: str

    @property
    def is_mandatory(self) -> bool:
        """Return whether the violation stops an update."""
        return self.level == "mandatory"

    def line(self) -> str:
        """Return the complete violation as one line."""
        return escape_unprintable(f"{self.level}: {self.name} ({self.type}): {self.rule}: {self.describe()}")

    def describe(self) -> str:
        """Return path, message and remedy, for output that already names the resource and the rule."""
        return escape_unprintable(f"{self.path}: {self.message}; {self.remedy}")


def format_path(path: PropertyPath) -> str:
    """Return a path in the notation of stack files, such as `values.gateway.tolerations[0]`.

    Unusual keys are replaced by an ellipsis, because they could be secrets, such as a pasted private key.
    """
    parts = (f"[{part}]" if isinstance(part, int) else _format_key(part) for part in path)
    return "".join(parts).removeprefix(".")


def _format_key(part: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", part):
        return f".{part}"
    return f'["{part}"]' if re.fullmatch(r"[A-Za-z0-9_./-]{1,100}", part) else '["…"]'


def escape_unprintable(text: str) -> str:
    """Return a text as one line, with an escape in place of each unprintable character."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
