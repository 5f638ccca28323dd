"""Validation errors of a stack file, in the form `path: value: rule; remedy`, all reported at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from mesh.message_format import ELLIPSIS, escape_unprintable, format_path, truncate

__all__ = ["ELLIPSIS", "Path", "SettingsError", "ValidationErrors", "format_path", "join_names", "suggest"]

Path = tuple[str | int, ...]

# A message shortens a longer list of names.
MAX_LISTED_NAMES = 12
MAX_VALUE_LENGTH = 80

# Numbers here are no secrets. Neither are texts, unless the top-level key contains a secret.
_NOT_SECRET = (("trust", "lifetimes"), ("trust", "certManager"))


class SettingsError(Exception):
    """An invalid stack file, with one line per validation error."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        count = "1 error" if len(self.errors) == 1 else f"{len(self.errors)} errors"
        super().__init__("\n".join([f"{count} in the configuration; nothing was changed:", *self.errors]))


class ValidationErrors:
    """Collector of validation errors and warnings.

    Args:
        hidden: top-level keys whose values may be secrets; messages never show them.
        secret: those of the hidden keys that contain secrets; default: all hidden keys.
    """

    def __init__(self, hidden: Collection[str] = (), secret: Collection[str] | None = None) -> None:
        self._hidden = hidden
        self._secret = hidden if secret is None else secret
        # Dictionaries keep the order and drop duplicates.
        self._lines: dict[str, None] = {}
        self._warnings: dict[str, None] = {}
        self._removed: set[Path] = set()
        self._affected: set[Path] = set()

    def add(self, path: Sequence[str | int], value: Any, rule: str, remedy: str) -> None:
        """Add an error, unless the same error exists already."""
        self._lines[self._format(path, value, rule, remedy)] = None

    def warn(self, path: Sequence[str | int], value: Any, rule: str, remedy: str) -> None:
        """Add a warning, which does not stop the update."""
        self._warnings[self._format(path, value, rule, remedy)] = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings, in the form of errors."""
        return tuple(self._warnings)

    def add_syntax_error(self, path: Path, value: Any, rule: str, remedy: str) -> None:
        """Add an error for a value that the parser removes before cross-field validation."""
        self.add(path, value, rule, remedy)
        self._removed.add(path)
        self._affected |= {path[:length] for length in range(1, len(path) + 1)}

    def is_invalid(self, *path: str | int) -> bool:
        """Return whether the parser removed a value at, inside or around a path.

        Cross-field rules use it: a value that is missing now may have been in the stack file.
        """
        return path in self._affected or any(path[:length] in self._removed for length in range(1, len(path)))

    def raise_if_any(self) -> None:
        """Raise the collected errors.

        Raises:
            SettingsError: there is at least one error.
        """
        if self._lines:
            raise SettingsError(self._lines)

    def _format(self, path: Sequence[str | int], value: Any, rule: str, remedy: str) -> str:
        return escape_unprintable(f"{format_path(path)}: {self._format_value(path, value)}: {rule}; {remedy}")

    def _format_value(self, path: Sequence[str | int], value: Any) -> str:
        if value == ELLIPSIS:
            return ELLIPSIS
        if self._is_hidden(path, value):
            return "[secret]"
        if isinstance(value, dict | list):
            # The content can be long, and the path identifies it.
            return ("{…}" if value else "{}") if isinstance(value, dict) else ("[…]" if value else "[]")
        if not isinstance(value, str):
            return truncate(json.dumps(value, default=str), MAX_VALUE_LENGTH)
        # The first line of a kubeconfig or a key identifies it. Later lines may be secret.
        first, *others = value.split("\n", 1)
        first = re.sub(r"//\S*@", f"//{ELLIPSIS}@", first)
        return json.dumps(truncate(first, MAX_VALUE_LENGTH) + (ELLIPSIS if others else ""), ensure_ascii=False)

    def _is_hidden(self, path: Sequence[str | int], value: Any) -> bool:
        top = path[0] if path else ""
        if top not in self._hidden or value is None or isinstance(value, bool):
            return False
        is_plain = isinstance(value, int | float) or top not in self._secret
        return not (is_plain and tuple(path[:2]) in _NOT_SECRET)


def suggest(value: Any, choices: Sequence[str], otherwise: str | None = None) -> str:
    """Return the remedy for an unknown word.

    Args:
        value: the unknown word.
        choices: the known words.
        otherwise: the remedy if no known word is similar; default: a list of the known words.
    """
    similar = difflib.get_close_matches(str(value)[:253], choices, n=1)
    return f"did you mean {similar[0]}?" if similar else otherwise or f"choose one of {join_names(choices)}"


def join_names(names: Sequence[str]) -> str:
    """Return names separated by commas; a long list is shortened."""
    more = f" and {len(names) - MAX_LISTED_NAMES} more" if len(names) > MAX_LISTED_NAMES else ""
    return ", ".join(names[:MAX_LISTED_NAMES]) + more if names else "none"
