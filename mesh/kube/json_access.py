"""Typed access to untyped JSON: a value of another type is treated as empty."""

from __future__ import annotations

from typing import Any


def as_mapping(value: Any, *keys: str) -> dict[str, Any]:
    """Return the mapping at `keys` below a value, or an empty one."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def as_mappings(value: Any) -> list[dict[str, Any]]:
    """Return the mappings in a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_texts(value: Any) -> list[str]:
    """Return the strings in a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return a value if it is a string, or an empty string."""
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int:
    """Return a value if it is a positive number, or 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
