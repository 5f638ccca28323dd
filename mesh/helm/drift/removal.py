"""Fields of live objects that only a former manifest set, and that Helm's upgrade would delete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.helm.drift.diff import comparable_fields, merge_key
from mesh.kube.object_diff import entry_path, join_path


def removal_patch(former: Mapping[str, Any], desired: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Return the strategic merge patch that deletes the fields; empty if there are none.

    Args:
        former: the object in the former manifest.
        desired: the object in the current manifest.
        live: the object from the API server.
    """
    return _mapping_patch(comparable_fields(former), comparable_fields(desired), live, "")


def without_lists(patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a strategic merge patch that a merge patch can contain."""
    parts = {key: without_lists(value) if isinstance(value, Mapping) else value for key, value in patch.items()}
    return {key: value for key, value in parts.items() if value is None or (isinstance(value, dict) and value)}


def removed_fields(patch: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each field and list entry that a patch deletes."""
    if isinstance(patch, Mapping):
        for key, value in patch.items():
            yield from removed_fields(value, join_path(path, key))
    elif isinstance(patch, list):
        for entry in patch:
            name = entry_path(path, next(iter(entry.values())))
            if "$patch" in entry:
                yield name
            else:
                yield from removed_fields(dict(list(entry.items())[1:]), name)
    elif patch is None:
        yield path


def _mapping_patch(
    former: Mapping[str, Any], desired: Mapping[str, Any], live: Mapping[str, Any], path: str
) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    for key, value in former.items():
        if value is None or live.get(key) is None:
            continue
        if desired.get(key) is None:
            patch[key] = None
        elif part := _value_patch(value, desired[key], live[key], join_path(path, str(key))):
            patch[key] = part
    return patch


def _value_patch(former: Any, desired: Any, live: Any, path: str) -> Any:
    values = (former, desired, live)
    if all(isinstance(value, Mapping) for value in values):
        return _mapping_patch(former, desired, live, path)
    if not all(isinstance(value, list) for value in values):
        return None
    key = merge_key(former, path)
    if key is None or (desired and merge_key(desired, path) != key):
        return None  # such a list is repaired as a whole
    desired_entries = {entry[key]: entry for entry in desired}
    live_entries = {entry.get(key): entry for entry in live if isinstance(entry, Mapping)}
    patch = []
    for entry in former:
        name = entry[key]
        if name not in live_entries:
            continue
        if name not in desired_entries:
            patch.append({key: name, "$patch": "delete"})
        elif part := _mapping_patch(entry, desired_entries[name], live_entries[name], path):
            patch.append({key: name, **part})
    return patch
