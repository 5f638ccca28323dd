"""Faults of a stack file, each in the form `path: value: rule; remedy`, all of them at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

Path = tuple[str | int, ...]

# Stands for a value that a message has no need of.
ELLIPSIS = "…"
# Of a long list of names a message has this many.
MAX_LISTED_NAMES = 12

# Where numbers can't be secrets, nor can texts unless the key has some.
_NOT_SECRET = (("trust", "lifetimes"), ("trust", "certManager"))


class SettingsError(Exception):
    """Everything that is wrong with a stack file, one fault per line."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.errors = tuple(faults)
        count = "1 fault" if len(self.errors) == 1 else f"{len(self.errors)} faults"
        super().__init__("\n".join([f"{count} in the configuration; nothing was touched:", *self.errors]))


class ValidationErrors:
    """Collects faults.

    Args:
        hidden: top-level keys in which values are secrets, or may be, and are never shown.
        secret: those of them in which some surely are; left out, all.
    """

    def __init__(self, hidden: Collection[str] = (), secret: Collection[str] | None = None) -> None:
        self._hidden = hidden
        self._secret = hidden if secret is None else secret
        self._lines: dict[str, None] = {}
        self._warnings: dict[str, None] = {}
        self._malformed: set[Path] = set()
        self._around: set[Path] = set()

    def add(self, path: Sequence[str | int], value: Any, rule: str, remedy: str) -> None:
        """Add a fault; a fault that is there already is not added twice."""
        self._lines[self._line(path, value, rule, remedy)] = None

    def warn(self, path: Sequence[str | int], value: Any, rule: str, remedy: str) -> None:
        """Add what doesn't stand in the way, and its reader should know."""
        self._warnings[self._line(path, value, rule, remedy)] = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What doesn't stand in the way, in the form of faults."""
        return tuple(self._warnings)

    def add_syntax_error(self, path: Path, value: Any, rule: str, remedy: str) -> None:
        """Add a fault for which a value is left out of all that follows."""
        self.add(path, value, rule, remedy)
        self._malformed.add(path)
        self._around |= {path[:length] for length in range(1, len(path) + 1)}

    def is_invalid(self, *path: str | int) -> bool:
        """Whether something was left out there, inside it or around it: what is missing now was not missing before."""
        return path in self._around or any(path[:length] in self._malformed for length in range(1, len(path)))

    def raise_if_any(self) -> None:
        """Raise what was collected.

        Raises:
            SettingsError: something was.
        """
        if self._lines:
            raise SettingsError(self._lines)

    def _line(self, path: Sequence[str | int], value: Any, rule: str, remedy: str) -> str:
        return _printable(f"{format_path(path)}: {self._shown(path, value)}: {rule}; {remedy}")

    def _shown(self, path: Sequence[str | int], value: Any) -> str:
        harmless = value is None or isinstance(value, bool)
        top = path[0] if path else ""
        plain = isinstance(value, int | float) or top not in self._secret
        if value == ELLIPSIS:
            return ELLIPSIS
        if top in self._hidden and not harmless and not (plain and tuple(path[:2]) in _NOT_SECRET):
            return "[secret]"
        if isinstance(value, dict | list):
            # What is in it can be anything, and its path says where to look.
            return ("{…}" if value else "{}") if isinstance(value, dict) else ("[…]" if value else "[]")
        if not isinstance(value, str):
            return _truncate(json.dumps(value, default=str), 80)
        # The first line of a kubeconfig or a key says what it is; the others are nobody's business.
        first, *others = value.split("\n", 1)
        first = re.sub(r"//\S*@", f"//{ELLIPSIS}@", first)
        return json.dumps(_truncate(first, 80) + (ELLIPSIS if others else ""), ensure_ascii=False)


def format_path(path: Sequence[str | int]) -> str:
    """A path as its reader writes it: `links[0].source`."""
    parts = [f"[{part}]" if isinstance(part, int) else _format_key(_truncate(part, 80)) for part in path]
    return "".join(parts).removeprefix(".")


def _format_key(part: str) -> str:
    plain = re.fullmatch(r"[\w$/*…-]+", part)
    return f".{part}" if plain else f"[{json.dumps(part, ensure_ascii=False)}]"


def _truncate(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}{ELLIPSIS}"


def _printable(line: str) -> str:
    """One line, whatever was in the values."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in line)


def suggestion(value: Any, choices: Sequence[str], otherwise: str | None = None) -> str:
    """A remedy for a word that isn't one of those that are known.

    Args:
        value: the word.
        choices: those that are known.
        otherwise: the remedy where none of them is close; by default, it lists them.
    """
    close = difflib.get_close_matches(str(value)[:253], choices, n=1)
    return f"did you mean {close[0]}?" if close else otherwise or f"known are {join_names(choices)}"


def join_names(names: Sequence[str]) -> str:
    """Names in a row, if they aren't too many."""
    more = f" and {len(names) - MAX_LISTED_NAMES} more" if len(names) > MAX_LISTED_NAMES else ""
    return ", ".join(names[:MAX_LISTED_NAMES]) + more if names else "none"
