"""A rule: its name, its description, and the function that finds violations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource
from policy.violation import Level, PropertyPath

# Path, message and remedy.
RuleFinding = tuple[PropertyPath, str, str]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule that checks one resource at a time."""

    name: str
    description: str  # a sentence
    level: Level  # default level
    find: Callable[[PlannedResource, LifetimeLimits], Iterable[RuleFinding]]
