"""What a review announced, held against what has become of the objects in the API servers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from mesh.pulumi_constants import UNKNOWN_VALUE
from policy.planned_resource import SECRET

ObjectKey = tuple[str, str, str, str]  # kind, API group, namespace, name

# What controllers make and change by themselves.
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


def find_review_errors(announced: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Where what happened in a cluster isn't what was announced for it.

    Args:
        announced: the cluster's part of the review.
        before: every object that it had (see `deployment.everything`).
        after: every object that it has now.
    """
    changes = {_announced_key(entry): entry for entry in announced["objects"]}
    old, new = _index_by_key(before), _index_by_key(after)
    wrong: list[str] = []
    for identity, change in changes.items():
        verb = change["verb"]
        if verb == "removed":
            wrong += [f"{identity}: still there"] if identity in new else []
        elif identity not in new:
            wrong.append(f"{identity}: {verb}, but not there")
        elif verb != "kept":
            wrong += [f"{identity}: {each}" for each in _find_missing(change["after"], new[identity], "")]
            if verb == "changed":
                gone = _find_leftovers(change["before"], change["after"], new[identity], "")
                wrong += [f"{identity}: {each}" for each in gone]
                if identity in old and old[identity] == new[identity] and not _is_hidden(change):
                    wrong.append(f"{identity}: did not change")
    for identity in old.keys() | new.keys():
        if identity in changes or old.get(identity) == new.get(identity):
            continue
        if not _is_changed_by_controller(identity, new.get(identity) or old[identity]):
            what = "changed" if identity in old and identity in new else "came" if identity in new else "went"
            wrong.append(f"{identity}: {what}, and nobody said so")
    return sorted(wrong)


def _announced_key(entry: Mapping[str, Any]) -> ObjectKey:
    return entry["kind"], entry["group"], entry["namespace"], entry["name"]


def _index_by_key(objects: Mapping[str, Any]) -> dict[ObjectKey, Any]:
    found = {}
    for item in objects.values():
        metadata = item["metadata"]
        group = item["apiVersion"].rpartition("/")[0]
        found[item["kind"], group, metadata.get("namespace", ""), metadata["name"]] = item
    return found


def _is_changed_by_controller(identity: ObjectKey, item: Mapping[str, Any]) -> bool:
    kind, _, _, name = identity
    labels = item["metadata"].get("labels") or {}
    return (
        kind in _CONTROLLER_KINDS
        or item.get("type") == "helm.sh/release.v1"
        or (kind, name) in {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
        or (kind == "APIService" and "kube-aggregator.kubernetes.io/automanaged" in labels)
        or "mirror.linkerd.io/mirrored-service" in labels
    )


def _find_missing(wanted: Any, live: Any, path: str) -> Iterable[str]:
    """What of an announced value isn't so in the cluster; what the server adds is its own affair."""
    if wanted in (None, "", [], {}) or (
        isinstance(wanted, str) and isinstance(live, str) and _matches_placeholders(wanted, live)
    ):
        return
    if (_is_empty(wanted) and live is None) or (isinstance(wanted, str) and _PLACEHOLDER.fullmatch(wanted)):
        return
    if isinstance(wanted, Mapping):
        for key, value in wanted.items():
            # The server has it in `data`.
            if key in ("stringData", "status") or (isinstance(live, Mapping) and value in (None, "", [], {})):
                continue
            if not isinstance(live, Mapping) or (key not in live and not _is_empty(value)):
                yield f"{path}.{key}: announced, but missing"
            else:
                yield from _find_missing(value, live.get(key), f"{path}.{key}")
    elif isinstance(wanted, list):
        if not isinstance(live, list) or len(live) != len(wanted):
            yield f"{path}: announced {wanted}, found {live}"
            return
        for number, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _find_missing(one, other, f"{path}[{number}]")
    elif wanted != live and str(wanted).strip() != str(live).strip() and _quantity(wanted) != _quantity(live):
        yield f"{path}: announced {wanted!r}, found {live!r}"


def _find_leftovers(before: Any, after: Any, live: Any, path: str) -> Iterable[str]:
    """What was to go out of an object, and is still in it."""
    if after == UNKNOWN_VALUE:
        return
    if isinstance(before, Mapping) and isinstance(live, Mapping):
        for key, value in before.items():
            inner = after.get(key) if isinstance(after, Mapping) else None
            if key == "serviceAccount":
                continue  # an old name of serviceAccountName, which the server keeps equal to it
            if (not isinstance(after, Mapping) or key not in after) and not isinstance(value, (Mapping, list)):
                if key in live and live[key] == value:
                    yield f"{path}.{key}: still {value!r}"
            elif key in live:
                yield from _find_leftovers(value, inner, live[key], f"{path}.{key}")


def _is_empty(value: Any) -> bool:
    """Whether a value is nothing but emptiness, which the server leaves out."""
    if isinstance(value, Mapping):
        return all(_is_empty(item) for item in value.values())
    return value in (None, "", [], False, 0)


# What stands in place of a value: of a secret, of a certificate, of what nobody knew.
_PLACEHOLDER = re.compile(
    rf"{re.escape(SECRET)}|{UNKNOWN_VALUE}\n?|certificate [^\n]*, until \d{{4}}-\d\d-\d\d, sha256 \w+\n?"
)


def _matches_placeholders(wanted: str, live: str) -> bool:
    """Whether a text is as announced but for what signs stand in place of."""
    pieces = _PLACEHOLDER.split(wanted)
    if len(pieces) == 1:
        return wanted == live
    if pieces[0] == pieces[-1] == "":
        return True
    return re.fullmatch(".*?".join(re.escape(piece) for piece in pieces), live, re.DOTALL) is not None


def _is_placeholder(value: Any) -> bool:
    return isinstance(value, str) and bool(_PLACEHOLDER.search(value))


def _is_hidden(change: Mapping[str, Any]) -> bool:
    """Whether a change may not be seen: of what signs stand for, and of defaults that are now given by name."""
    if all("before" not in field for field in change["fields"]):
        return True
    sides = [side for field in change["fields"] for side in (field.get("before"), field.get("after"))]
    return all(side is None or _is_placeholder(side) for side in sides)


def _quantity(value: Any) -> Any:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", str(value))
    if not found or (found[2] and found[2] not in _SUFFIXES):
        return str(value)
    try:
        return Decimal(found[1]) * Decimal(_SUFFIXES.get(found[2], "1"))
    except InvalidOperation:
        return str(value)
