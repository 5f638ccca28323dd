"""A violation of a rule by a resource, and its message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mesh.message_format import escape_unprintable

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
