"""A rule: what it is called, what it wants, and what finds where a resource breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from policy.limits import Bounds
from policy.planned_resource import PlannedResource
from policy.violation import Level, Path

# Where, what is wrong, and what to do.
Found = tuple[Path, str, str]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule, which looks at one resource at a time."""

    name: str
    description: str  # a sentence
    level: Level  # unless who runs it says otherwise
    find: Callable[[PlannedResource, Bounds], Iterable[Found]]
