"""Values that only the update will know, in what charts make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from policy.planned_resource import UNKNOWN

# Two texts that no chart knows, of the same length.
PLACEHOLDERS = ("unknown-" + "A" * 64, "unknown-" + "B" * 64)


def contains_unknown(value: Any) -> bool:
    """Whether something in a value isn't known."""
    if isinstance(value, Mapping):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(contains_unknown(item) for item in value)
    return isinstance(value, str) and UNKNOWN in value


def fill_unknowns(value: Any, text: str) -> Any:
    """A value with a text in place of each that isn't known."""
    if isinstance(value, Mapping):
        return {key: fill_unknowns(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_unknowns(item, text) for item in value]
    return value.replace(UNKNOWN, text) if isinstance(value, str) else value


def common(one: Any, other: Any) -> Any:
    """What two values have in common, with the sign wherever they differ; of texts, line by line."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = [*one, *(key for key in other if key not in one)]
        return {key: common(one.get(key, UNKNOWN), other.get(key, UNKNOWN)) for key in keys}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [common(*pair) for pair in zip(one, other, strict=True)]
    if isinstance(one, str) and isinstance(other, str) and one != other:
        lines = [text.splitlines(keepends=True) for text in (one, other)]
        if len(lines[0]) == len(lines[1]):
            return _joined(lines)
    return one if one == other else UNKNOWN


def _joined(lines: Sequence[Sequence[str]]) -> str:
    found: list[str] = []
    for one, other in zip(*lines, strict=True):
        line = one if one == other else f"{UNKNOWN}\n" if one.endswith("\n") else UNKNOWN
        # Several lines that nobody knows are one value.
        if line == one or not found or found[-1] != line:
            found.append(line)
    return "".join(found)
