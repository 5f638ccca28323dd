"""Shared parts of object diffs: field paths, and the keys that identify entries of a list.

Two diffs use them, and their traversals differ. `mesh.helm.drift.diff` compares desired fields with a live object: it
ignores other live fields and equal quantities. `review.diff` compares two versions in both directions with values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def join_path(path: str, key: str) -> str:
    """Return the path of a field, such as `spec.replicas` or `data["a.b"]`.

    Args:
        path: path of the mapping; empty for the object itself.
        key: key of the field.
    """
    if not key.replace("_", "").replace("-", "").isalnum():
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def entry_path(path: str, entry: object) -> str:
    """Return the path of an entry of a list, given its index or the value of its identifying key."""
    return f"{path}[{entry}]"


def identifying_keys(entries: Sequence[Any], candidates: Iterable[str]) -> list[str]:
    """Return the candidate keys that every entry of a list has, in the order of the candidates."""
    if not all(isinstance(entry, Mapping) for entry in entries):
        return []
    return [key for key in candidates if all(isinstance(entry.get(key), str | int) for entry in entries)]
