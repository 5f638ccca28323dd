"""Comparison of a review with the objects in the API servers after the update."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET

ObjectKey = tuple[str, str, str, str]  # kind, API group, namespace, name

# Kinds that controllers create and change themselves.
_CONTROLLER_KINDS = {
    "ControllerRevision",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "IPAddress",
    "Job",
    "Lease",
    "Node",
    "NodeMetrics",
    "Pod",
    "PodMetrics",
    "ReplicaSet",
}
_SUFFIXES = {"m": "0.001", "k": "1000", "M": "1e6", "G": "1e9", "Ki": "1024", "Mi": "1048576", "Gi": "1073741824"}


def find_review_errors(
    cluster_review: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[str]:
    """Return the differences between a cluster's review and its actual changes.

    Args:
        cluster_review: part of the review for the cluster.
        before: all objects before the update (see `stack_under_test.list_all_objects`).
        after: all objects after the update.
    """
    changes = {_change_key(entry): entry for entry in cluster_review["objects"]}
    old, new = _index_by_key(before), _index_by_key(after)
    errors: list[str] = []
    for key, change in changes.items():
        verb = change["verb"]
        if verb == "removed":
            errors += [f"{key}: reviewed as removed, but present"] if key in new else []
        elif key not in new:
            errors.append(f"{key}: reviewed as {verb}, but missing")
        elif verb != "kept":
            errors += [f"{key}: {problem}" for problem in _find_missing(change["after"], new[key], "")]
            if verb == "changed":
                leftovers = _find_leftovers(change["before"], change["after"], new[key], "")
                errors += [f"{key}: {problem}" for problem in leftovers]
                if key in old and old[key] == new[key] and not _is_hidden(change):
                    errors.append(f"{key}: reviewed as changed, but unchanged")
    for key in old.keys() | new.keys():
        if key in changes or old.get(key) == new.get(key):
            continue
        if not _is_changed_by_controller(key, new.get(key) or old[key]):
            event = "changed" if key in old and key in new else "created" if key in new else "deleted"
            errors.append(f"{key}: {event}, but not in the review")
    return sorted(errors)


def _change_key(entry: Mapping[str, Any]) -> ObjectKey:
    return entry["kind"], entry["group"], entry["namespace"], entry["name"]


def _index_by_key(objects: Mapping[str, Any]) -> dict[ObjectKey, Any]:
    index = {}
    for item in objects.values():
        metadata = item["metadata"]
        group = item["apiVersion"].rpartition("/")[0]
        index[item["kind"], group, metadata.get("namespace", ""), metadata["name"]] = item
    return index


def _is_changed_by_controller(key: ObjectKey, item: Mapping[str, Any]) -> bool:
    kind, _, _, name = key
    labels = item["metadata"].get("labels") or {}
    return (
        kind in _CONTROLLER_KINDS
        or item.get("type") == "helm.sh/release.v1"
        or (kind, name) in {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
        or (kind == "APIService" and "kube-aggregator.kubernetes.io/automanaged" in labels)
        or "mirror.linkerd.io/mirrored-service" in labels
    )


def _find_missing(expected: Any, live: Any, path: str) -> Iterable[str]:
    """Yield values of the review that the live object lacks; additions by the server are ignored."""
    if expected in (None, "", [], {}) or (
        isinstance(expected, str) and isinstance(live, str) and _matches_placeholders(expected, live)
    ):
        return
    if (_is_empty(expected) and live is None) or (isinstance(expected, str) and _PLACEHOLDER.fullmatch(expected)):
        return
    if isinstance(expected, Mapping):
        for key, value in expected.items():
            # The server stores `stringData` in `data`.
            if key in ("stringData", "status") or (isinstance(live, Mapping) and value in (None, "", [], {})):
                continue
            if not isinstance(live, Mapping) or (key not in live and not _is_empty(value)):
                yield f"{path}.{key}: in the review, but missing"
            else:
                yield from _find_missing(value, live.get(key), f"{path}.{key}")
    elif isinstance(expected, list):
        if not isinstance(live, list) or len(live) != len(expected):
            yield f"{path}: expected {expected}, found {live}"
            return
        for number, (expected_item, live_item) in enumerate(zip(expected, live, strict=True)):
            yield from _find_missing(expected_item, live_item, f"{path}[{number}]")
    elif expected != live and str(expected).strip() != str(live).strip() and _quantity(expected) != _quantity(live):
        yield f"{path}: expected {expected!r}, found {live!r}"


def _find_leftovers(before: Any, after: Any, live: Any, path: str) -> Iterable[str]:
    """Yield fields that the review lists as removed but are still present."""
    if after == UNKNOWN_VALUE:
        return
    if isinstance(before, Mapping) and isinstance(live, Mapping):
        for key, value in before.items():
            inner = after.get(key) if isinstance(after, Mapping) else None
            if key == "serviceAccount":
                continue  # deprecated alias, which the server keeps equal to serviceAccountName
            if (not isinstance(after, Mapping) or key not in after) and not isinstance(value, (Mapping, list)):
                if key in live and live[key] == value:
                    yield f"{path}.{key}: still {value!r}"
            elif key in live:
                yield from _find_leftovers(value, inner, live[key], f"{path}.{key}")


def _is_empty(value: Any) -> bool:
    """Return whether a value is empty, because the server omits empty values."""
    if isinstance(value, Mapping):
        return all(_is_empty(item) for item in value.values())
    return value in (None, "", [], False, 0)


# Placeholders of secrets, unknown values and certificates.
_PLACEHOLDER = re.compile(
    rf"{re.escape(SECRET)}|{UNKNOWN_VALUE}\n?|certificate [^\n]*, expires \d{{4}}-\d\d-\d\d, sha256 \w+\n?"
)


def _matches_placeholders(expected: str, live: str) -> bool:
    """Return whether a text equals the expected one, where placeholders match any text."""
    pieces = _PLACEHOLDER.split(expected)
    if len(pieces) == 1:
        return expected == live
    if pieces[0] == pieces[-1] == "":
        return True
    return re.fullmatch(".*?".join(re.escape(piece) for piece in pieces), live, re.DOTALL) is not None


def _is_placeholder(value: Any) -> bool:
    return isinstance(value, str) and bool(_PLACEHOLDER.search(value))


def _is_hidden(change: Mapping[str, Any]) -> bool:
    """Return whether a change can be invisible: behind placeholders, or an explicit default."""
    if all("before" not in field for field in change["fields"]):
        return True
    sides = [side for field in change["fields"] for side in (field.get("before"), field.get("after"))]
    return all(side is None or _is_placeholder(side) for side in sides)


def _quantity(value: Any) -> Any:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", str(value))
    if not match or (match[2] and match[2] not in _SUFFIXES):
        return str(value)
    try:
        return Decimal(match[1]) * Decimal(_SUFFIXES.get(match[2], "1"))
    except InvalidOperation:
        return str(value)
