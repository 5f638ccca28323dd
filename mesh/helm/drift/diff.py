"""Fields of a live object that differ from its manifest. Fields that only the live object has are ignored.

Lists are compared as Kubernetes merges them. A list with a merge key is compared by that key, and entries of others are
ignored. Other lists are compared as a whole.
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mesh.kube.object_diff import entry_path, identifying_keys, join_path

# Lists of built-in kinds to which others can add entries, with their merge keys.
_MERGE_KEYS = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ports": ("containerPort", "port"),
    "secrets": ("name",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "webhooks": ("name",),
}
# Fields with quantities: the API server normalizes them, for example 1000m to 1.
_QUANTITY_FIELDS = frozenset({"limits", "requests"})
# Fields that the API server writes, or that identify the object.
_IGNORED_FIELDS = frozenset({"apiVersion", "kind", "metadata", "status"})


def find_differing_fields(desired: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Return the paths of all desired fields that the live object does not have.

    Args:
        desired: an object of a manifest.
        live: the same object from the API server, in the same API version.
    """
    return list(_compare(comparable_fields(desired), live, ""))


def comparable_fields(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a manifest's object that can be compared with a live object."""
    body = {key: value for key, value in source.items() if key not in _IGNORED_FIELDS}
    if isinstance(body.get("stringData"), Mapping):
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in body.pop("stringData").items()}
        body["data"] = {**(body.get("data") or {}), **encoded}
    metadata = source.get("metadata") or {}
    body["metadata"] = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    return body


def _compare(desired: Any, live: Any, path: str) -> Iterator[str]:
    if live is None and not desired:
        return  # the API server drops empty values
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        for key, value in desired.items():
            if value is not None:
                yield from _compare(value, live.get(key), join_path(path, str(key)))
    elif isinstance(desired, list) and isinstance(live, list):
        yield from _compare_lists(desired, live, path)
    elif not _is_equal(desired, live, path):
        yield path


def _compare_lists(desired: Sequence[Any], live: Sequence[Any], path: str) -> Iterator[str]:
    key = merge_key(desired, path)
    if key is not None:
        live_entries = {entry.get(key): entry for entry in live if isinstance(entry, Mapping)}
        for entry in desired:
            yield from _compare(entry, live_entries.get(entry[key]), entry_path(path, entry[key]))
    elif len(desired) != len(live):
        yield path
    else:
        for number, pair in enumerate(zip(desired, live, strict=True)):
            yield from _compare(*pair, entry_path(path, number))


def merge_key(entries: Sequence[Any], path: str) -> str | None:
    """Return the merge key of a list, or None if the list is compared as a whole."""
    keys = identifying_keys(entries, _MERGE_KEYS.get(path.rpartition(".")[2], ()))
    return next((key for key in keys if len({entry[key] for entry in entries}) == len(entries)), None)


def _is_equal(desired: Any, live: Any, path: str) -> bool:
    if desired == live:
        return True
    if live is None or not _QUANTITY_FIELDS & {part.partition("[")[0] for part in path.split(".")}:
        return False
    from kubernetes.utils.quantity import parse_quantity

    try:
        return bool(parse_quantity(desired) == parse_quantity(live))
    except (ValueError, TypeError):
        return False
