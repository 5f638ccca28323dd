"""Diff of two objects, field by field, without the text of secrets."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from mesh.kube.object_diff import entry_path, identifying_keys, join_path
from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET
from review.redaction import Redacted


class _Missing:
    """Placeholder for a field that does not exist."""


MISSING = _Missing()

# Keys that identify the entries of a list; the first one that all entries have is used.
_ENTRY_KEYS = ("name", "containerPort", "mountPath", "key", "port", "host", "ip", "kind", "group")
# Entries of two lists of scalars, in total; for longer lists, only the differing entries are shown.
_MAX_LIST_LENGTH = 10


@dataclass(frozen=True, kw_only=True)
class FieldDiff:
    """A field that differs."""

    path: str
    before: Any = MISSING
    after: Any = MISSING

    @property
    def lines(self) -> list[str]:
        """Return the lines of a diff: `-` for removed, `+` for added, `!` for changed text with its context."""
        if _are_long_lists(self.before, self.after):
            sides = ("-", self.before, self.after), ("+", self.after, self.before)
            only = [(sign, [item for item in one if item not in other]) for sign, one, other in sides]
            if any(items for _, items in only):
                return [f"{sign} {self.path}: {_format(items)[0]}" for sign, items in only if items]
        before, after = _format(self.before), _format(self.after)
        if before == after and self.before is not MISSING:
            return [f"! {self.path}: {_summarize(before)} (changed)"]
        if len(before) > 1 or len(after) > 1:
            diff = difflib.unified_diff(before, after, n=1, lineterm="")
            return [f"! {self.path}:", *(line for line in diff if not line.startswith(("---", "+++", "@@")))]
        return [f"{sign} {self.path}: {text[0]}" for sign, text in (("-", before), ("+", after)) if text]


def diff_fields(before: Any, after: Any, path: str = "") -> list[FieldDiff]:
    """Return the fields that differ between two values, sorted by path.

    Args:
        before: a JSON value, with `Redacted` in place of secrets.
        after: another JSON value.
        path: path of both values in their object.
    """
    if before == after:
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        diffs: list[FieldDiff] = []
        for key in sorted({*before, *after}, key=str):
            diffs += diff_fields(before.get(key, MISSING), after.get(key, MISSING), join_path(path, str(key)))
        return diffs
    if isinstance(before, list) and isinstance(after, list):
        return _diff_lists(before, after, path)
    for value, other in ((before, after), (after, before)):
        # A mapping or list that is added or deleted is expanded into fields, so that all of it is shown.
        if (value is MISSING or value is None) and isinstance(other, (Mapping, list)) and other:
            empty: Any = {} if isinstance(other, Mapping) else []
            return diff_fields(empty, other, path) if value is before else diff_fields(other, empty, path)
    return [FieldDiff(path=path, before=before, after=after)]


def _diff_lists(before: Sequence[Any], after: Sequence[Any], path: str) -> list[FieldDiff]:
    key = next(iter(identifying_keys([*before, *after], _ENTRY_KEYS)), None)
    if key is None:
        if all(not isinstance(item, (Mapping, list)) for item in [*before, *after]):
            return [FieldDiff(path=path, before=before or MISSING, after=after or MISSING)]
        return _diff_by_position(before, after, path)
    sides = [{str(item[key]): item for item in side} for side in (before, after)]
    if any(len(side) != len(items) for side, items in zip(sides, (before, after), strict=True)):
        return [FieldDiff(path=path, before=before, after=after)]
    diffs = []
    for name in [*sides[0], *(name for name in sides[1] if name not in sides[0])]:
        diffs += diff_fields(sides[0].get(name, MISSING), sides[1].get(name, MISSING), entry_path(path, name))
    if not diffs:
        # Only the order differs, which can matter.
        diffs = [FieldDiff(path=f"{path} (order)", before=list(sides[0]), after=list(sides[1]))]
    return diffs


def _diff_by_position(before: Sequence[Any], after: Sequence[Any], path: str) -> list[FieldDiff]:
    """Return the differences of lists without a key; an inserted entry does not count as a change of those after it."""
    texts = [[json.dumps(item, sort_keys=True, default=_get_fingerprint) for item in side] for side in (before, after)]
    diffs: list[FieldDiff] = []
    for _, old, old_end, new, new_end in SequenceMatcher(a=texts[0], b=texts[1], autojunk=False).get_opcodes():
        for number in range(max(old_end - old, new_end - new)):
            one = before[old + number] if old + number < old_end else MISSING
            other = after[new + number] if new + number < new_end else MISSING
            diffs += diff_fields(one, other, entry_path(path, (old if other is MISSING else new) + number))
    return diffs


def _get_fingerprint(value: Redacted) -> str:
    return value.fingerprint


def _format(value: Any) -> list[str]:
    if value is MISSING:
        return []
    if isinstance(value, Redacted):
        value = value.text
    if isinstance(value, str):
        value = value.replace(UNKNOWN_VALUE, "(known only after the update)")
    if isinstance(value, str) and value != SECRET:
        return value.splitlines() if "\n" in value.strip() else [value.strip("\n") or '""']
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, list):
        return ["[" + ", ".join(" ".join(_format(item)) for item in value) + "]"]
    if isinstance(value, Mapping):
        return ["{" + ", ".join(f"{key}: {' '.join(_format(item))}" for key, item in sorted(value.items())) + "}"]
    return ["null" if value is None else str(value)]


def _are_long_lists(before: Any, after: Any) -> bool:
    return isinstance(before, list) and isinstance(after, list) and len(before) + len(after) > _MAX_LIST_LENGTH


def _summarize(lines: Sequence[str]) -> str:
    return lines[0] if len(lines) == 1 else f"{len(lines)} lines"
