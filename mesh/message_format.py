"""Parts of messages: paths in nested data, and text on one line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

# Replaces a value that a message leaves out, and the end of a long text.
ELLIPSIS = "…"
MAX_KEY_LENGTH = 80


def format_path(path: Sequence[str | int], *, hide_unusual_keys: bool = False) -> str:
    """Return a path as text, such as `links[0].source`.

    Args:
        path: keys of mappings and indices of lists.
        hide_unusual_keys: whether keys that may be pasted secrets are replaced by an ellipsis.
    """
    format_key = _format_safe_key if hide_unusual_keys else _format_key
    parts = [f"[{part}]" if isinstance(part, int) else format_key(part) for part in path]
    return "".join(parts).removeprefix(".")


def truncate(text: str, length: int) -> str:
    """Return a text with at most `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}{ELLIPSIS}"


def escape_unprintable(text: str) -> str:
    """Return a text on one line, with escapes for line breaks and control characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def _format_key(key: str) -> str:
    key = truncate(key, MAX_KEY_LENGTH)
    return f".{key}" if re.fullmatch(r"[\w$/*…-]+", key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def _format_safe_key(key: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key):
        return f".{key}"
    return f'["{key}"]' if re.fullmatch(r"[A-Za-z0-9_./-]{1,100}", key) else f'["{ELLIPSIS}"]'
