"""Unknown values in rendered charts: values that only the update determines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.pulumi_constants import UNKNOWN_VALUE

# Two texts of equal length that occur in no chart. A rendering that differs between them depends on an unknown value.
PLACEHOLDERS = ("unknown-" + "A" * 64, "unknown-" + "B" * 64)


def contains_unknown(value: Any) -> bool:
    """Return whether a value contains an unknown value."""
    if isinstance(value, Mapping):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(contains_unknown(item) for item in value)
    return isinstance(value, str) and UNKNOWN_VALUE in value


def fill_unknowns(value: Any, text: str) -> Any:
    """Return a value with a text in place of each unknown value."""
    if isinstance(value, Mapping):
        return {key: fill_unknowns(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_unknowns(item, text) for item in value]
    return value.replace(UNKNOWN_VALUE, text) if isinstance(value, str) else value


def merge_renderings(first: Any, second: Any) -> Any:
    """Return the common part of two values, with `UNKNOWN_VALUE` in place of each difference.

    Texts are compared line by line.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        keys = [*first, *(key for key in second if key not in first)]
        return {key: merge_renderings(first.get(key, UNKNOWN_VALUE), second.get(key, UNKNOWN_VALUE)) for key in keys}
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [merge_renderings(*pair) for pair in zip(first, second, strict=True)]
    if isinstance(first, str) and isinstance(second, str) and first != second:
        lines = [text.splitlines(keepends=True) for text in (first, second)]
        if len(lines[0]) == len(lines[1]):
            return _merge_lines(*lines)
    return first if first == second else UNKNOWN_VALUE


def _merge_lines(first: Sequence[str], second: Sequence[str]) -> str:
    lines: list[str] = []
    for one, other in zip(first, second, strict=True):
        line = one if one == other else f"{UNKNOWN_VALUE}\n" if one.endswith("\n") else UNKNOWN_VALUE
        # Consecutive unknown lines are one value.
        if line == one or not lines or lines[-1] != line:
            lines.append(line)
    return "".join(lines)
