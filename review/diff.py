"""What differs between two objects, field by field."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from policy.planned_resource import SECRET, UNKNOWN
from review.redaction import Masked


class _Nothing:
    """In place of a field that isn't there."""


NOTHING = _Nothing()

# By which of their fields the entries of a list are told, the first that all have.
_KEYS = ("name", "containerPort", "mountPath", "key", "port", "host", "ip", "kind", "group")


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field that differs."""

    path: str
    before: Any = NOTHING
    after: Any = NOTHING

    @property
    def lines(self) -> list[str]:
        """The lines of a diff: what goes with `-`, what comes with `+`, and, of long texts, what stays around it."""
        if _are_long_lists(self.before, self.after):
            # Of a long list, what goes and what comes.
            sides = ("-", self.before, self.after), ("+", self.after, self.before)
            only = [(sign, [item for item in one if item not in other]) for sign, one, other in sides]
            if any(items for _, items in only):
                return [f"{sign} {self.path}: {_written(items)[0]}" for sign, items in only if items]
        before, after = _written(self.before), _written(self.after)
        if before == after and self.before is not NOTHING:
            return [f"! {self.path}: {_summary(before)} (changed)"]
        if len(before) > 1 or len(after) > 1:
            found = difflib.unified_diff(before, after, n=1, lineterm="")
            return [f"! {self.path}:", *(line for line in found if not line.startswith(("---", "+++", "@@")))]
        return [f"{sign} {self.path}: {text[0]}" for sign, text in (("-", before), ("+", after)) if text]


def fields(before: Any, after: Any, path: str = "") -> list[Field]:
    """What differs, in the order of paths.

    Args:
        before: a value of JSON, with `Masked` in it where something is secret.
        after: another one.
        path: where they stand.
    """
    if before == after:
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found: list[Field] = []
        for key in sorted({*before, *after}, key=str):
            inner = _joined(path, str(key))
            found += fields(before.get(key, NOTHING), after.get(key, NOTHING), inner)
        return found
    if isinstance(before, list) and isinstance(after, list):
        return _of_lists(before, after, path)
    for value, other in ((before, after), (after, before)):
        # What comes or goes whole is told by its fields, so that nothing of it is only hinted at.
        if (value is NOTHING or value is None) and isinstance(other, (Mapping, list)) and other:
            empty: Any = {} if isinstance(other, Mapping) else []
            return fields(empty, other, path) if value is before else fields(other, empty, path)
    return [Field(path=path, before=before, after=after)]


def _of_lists(before: Sequence[Any], after: Sequence[Any], path: str) -> list[Field]:
    key = _key([*before, *after])
    if key is None:
        if all(not isinstance(item, (Mapping, list)) for item in [*before, *after]):
            return [Field(path=path, before=before or NOTHING, after=after or NOTHING)]
        return _of_entries(before, after, path)
    sides = [{str(item[key]): item for item in side} for side in (before, after)]
    if any(len(side) != len(items) for side, items in zip(sides, (before, after), strict=True)):
        return [Field(path=path, before=before, after=after)]
    found = []
    for name in [*sides[0], *(name for name in sides[1] if name not in sides[0])]:
        found += fields(sides[0].get(name, NOTHING), sides[1].get(name, NOTHING), f"{path}[{name}]")
    if not found:
        # Nothing but the order, which can matter.
        found = [Field(path=f"{path} (order)", before=list(sides[0]), after=list(sides[1]))]
    return found


def _of_entries(before: Sequence[Any], after: Sequence[Any], path: str) -> list[Field]:
    """Of entries that nothing but their place tells apart: one that comes in between only moves the others."""
    one_side, other_side = (
        [json.dumps(item, sort_keys=True, default=_fingerprint) for item in side] for side in (before, after)
    )
    found: list[Field] = []
    for _, old, old_end, new, new_end in SequenceMatcher(None, one_side, other_side, autojunk=False).get_opcodes():
        for number in range(max(old_end - old, new_end - new)):
            one = before[old + number] if old + number < old_end else NOTHING
            other = after[new + number] if new + number < new_end else NOTHING
            found += fields(one, other, f"{path}[{(old if other is NOTHING else new) + number}]")
    return found


def _fingerprint(value: Masked) -> str:
    return value.fingerprint


def _key(items: Sequence[Any]) -> str | None:
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    return next((key for key in _KEYS if all(isinstance(item.get(key), (str, int)) for item in items)), None)


def _joined(path: str, key: str) -> str:
    if not key.replace("_", "").replace("-", "").isalnum():
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def _written(value: Any) -> list[str]:
    if value is NOTHING:
        return []
    if isinstance(value, Masked):
        value = value.shown
    if isinstance(value, str):
        value = value.replace(UNKNOWN, "(known only after the update)")
    if isinstance(value, str) and value != SECRET:
        return value.splitlines() if "\n" in value.strip() else [value.strip("\n") or '""']
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, list):
        return ["[" + ", ".join(" ".join(_written(item)) for item in value) + "]"]
    if isinstance(value, Mapping):
        return ["{" + ", ".join(f"{key}: {' '.join(_written(item))}" for key, item in sorted(value.items())) + "}"]
    return ["null" if value is None else str(value)]


def _are_long_lists(before: Any, after: Any) -> bool:
    return isinstance(before, list) and isinstance(after, list) and len(before) + len(after) > 10


def _summary(lines: Sequence[str]) -> str:
    return lines[0] if len(lines) == 1 else f"{len(lines)} lines"
