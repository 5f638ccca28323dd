"""A rule that a resource breaks, as it is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# As Pulumi calls them: mandatory stops the update, advisory is told, disabled isn't looked for.
Level = Literal["advisory", "mandatory", "disabled"]
Path = Sequence[str | int]


@dataclass(frozen=True, kw_only=True, order=True)
class Violation:
    """One violation. No field has a value that could be a key."""

    urn: str
    rule: str  # its name, such as `images`
    path: str  # in the resource's inputs, such as `spec.containers[0].image`
    message: str  # what is wrong
    remedy: str  # what to do
    level: Level
    type: str
    name: str

    @property
    def mandatory(self) -> bool:
        """Whether it stops an update."""
        return self.level == "mandatory"

    def line(self) -> str:
        """All of it in one line."""
        return printable(f"{self.level}: {self.name} ({self.type}): {self.rule}: {self.describe()}")

    def describe(self) -> str:
        """What is wrong where, for who knows which resource and which rule it is about."""
        return printable(f"{self.path}: {self.message}; {self.remedy}")


def written(path: Path) -> str:
    """A path as its reader writes it: `values.gateway.tolerations[0]`.

    A key that could be anything, a pasted private key for instance, is left out.
    """
    parts = (f"[{part}]" if isinstance(part, int) else _key(part) for part in path)
    return "".join(parts).removeprefix(".")


def _key(part: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", part):
        return f".{part}"
    return f'["{part}"]' if re.fullmatch(r"[A-Za-z0-9_./-]{1,100}", part) else '["…"]'


def printable(text: str) -> str:
    """One line, whatever somebody has named a resource."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
