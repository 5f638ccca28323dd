"""Which fields of an object aren't as its manifest has them; fields that only the cluster has are nobody's business.

Lists are compared as Kubernetes merges them: those that have a merge key by that key, with entries of others left
alone, all others whole (https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Lists of Kubernetes' own kinds into which others may put something, and what tells their entries apart.
_MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "secrets": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
    "webhooks": "name",
}
_PORT_KEYS = ("containerPort", "port")
# Amounts, which the API server may write in another way.
_QUANTITY_KEYS = frozenset({"limits", "requests"})
# Written by the cluster, or what the object is found by.
_IGNORED_FIELDS = frozenset({"apiVersion", "kind", "metadata", "status"})


def differing_fields(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """The paths of all fields that aren't as they are wanted.

    Args:
        wanted: an object of a manifest.
        live: the same object as the API server has it, in the same version of its API.
    """
    body = {key: value for key, value in wanted.items() if key not in _IGNORED_FIELDS}
    if isinstance(body.get("stringData"), Mapping):
        written = {key: base64.b64encode(str(value).encode()).decode() for key, value in body.pop("stringData").items()}
        body["data"] = {**(body.get("data") or {}), **written}
    metadata = wanted.get("metadata") or {}
    body["metadata"] = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    return list(_field_differences(body, live, ""))


def _field_differences(wanted: Any, live: Any, path: str) -> Iterator[str]:
    if live is None and not wanted:
        return  # what is empty needn't be kept
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for key, value in wanted.items():
            if value is not None:
                yield from _field_differences(value, live.get(key), _join_path(path, str(key)))
    elif isinstance(wanted, list) and isinstance(live, list):
        yield from _item_differences(wanted, live, path)
    elif not _is_equal(wanted, live, path):
        yield path


def _item_differences(wanted: Sequence[Any], live: Sequence[Any], path: str) -> Iterator[str]:
    key = _merge_key(wanted, path)
    if key is not None:
        there = {item.get(key): item for item in live if isinstance(item, Mapping)}
        for item in wanted:
            yield from _field_differences(item, there.get(item[key]), f"{path}[{item[key]}]")
    elif len(wanted) != len(live):
        yield path
    else:
        for number, pair in enumerate(zip(wanted, live, strict=True)):
            yield from _field_differences(*pair, f"{path}[{number}]")


def _merge_key(wanted: Sequence[Any], path: str) -> str | None:
    """What tells the entries of a list apart; None for a list that is compared whole."""
    last = path.rpartition(".")[2]
    keys = _PORT_KEYS if last == "ports" else tuple(filter(None, [_MERGE_KEYS.get(last)]))
    for key in keys:
        found = [item.get(key) for item in wanted if isinstance(item, Mapping)]
        if None not in found and len(set(found)) == len(wanted):
            return key
    return None


def _is_equal(wanted: Any, live: Any, path: str) -> bool:
    if wanted == live:
        return True
    if live is None or not _QUANTITY_KEYS & {part.partition("[")[0] for part in path.split(".")}:
        return False
    from kubernetes.utils.quantity import parse_quantity

    try:
        return bool(parse_quantity(wanted) == parse_quantity(live))
    except (ValueError, TypeError):
        return False


def _join_path(path: str, key: str) -> str:
    if not key.replace("_", "").replace("-", "").isalnum():
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key
