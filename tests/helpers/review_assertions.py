"""What a review announced, held against what has become of the objects in the API servers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from policy.planned_resource import SECRET, UNKNOWN

Identity = tuple[str, str, str, str]  # kind, API group, namespace, name

# What controllers make and change by themselves.
_BY_CONTROLLERS = {
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


def broken_promises(announced: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Where what happened in a cluster isn't what was announced for it.

    Args:
        announced: the cluster's part of the review.
        before: every object that it had (see `deployment.everything`).
        after: every object that it has now.
    """
    changes = {_announced_identity(entry): entry for entry in announced["objects"]}
    old, new = _by_identity(before), _by_identity(after)
    wrong: list[str] = []
    for identity, change in changes.items():
        verb = change["verb"]
        if verb == "removed":
            wrong += [f"{identity}: still there"] if identity in new else []
        elif identity not in new:
            wrong.append(f"{identity}: {verb}, but not there")
        elif verb != "kept":
            wrong += [f"{identity}: {each}" for each in _missing(change["after"], new[identity], "")]
            if verb == "changed":
                gone = _leftover(change["before"], change["after"], new[identity], "")
                wrong += [f"{identity}: {each}" for each in gone]
                if identity in old and old[identity] == new[identity] and not _is_hidden(change):
                    wrong.append(f"{identity}: did not change")
    for identity in old.keys() | new.keys():
        if identity in changes or old.get(identity) == new.get(identity):
            continue
        if not _by_a_controller(identity, new.get(identity) or old[identity]):
            what = "changed" if identity in old and identity in new else "came" if identity in new else "went"
            wrong.append(f"{identity}: {what}, and nobody said so")
    return sorted(wrong)


def _announced_identity(entry: Mapping[str, Any]) -> Identity:
    return entry["kind"], entry["group"], entry["namespace"], entry["name"]


def _by_identity(objects: Mapping[str, Any]) -> dict[Identity, Any]:
    found = {}
    for item in objects.values():
        metadata = item["metadata"]
        group = item["apiVersion"].rpartition("/")[0]
        found[item["kind"], group, metadata.get("namespace", ""), metadata["name"]] = item
    return found


def _by_a_controller(identity: Identity, item: Mapping[str, Any]) -> bool:
    kind, _, _, name = identity
    labels = item["metadata"].get("labels") or {}
    return (
        kind in _BY_CONTROLLERS
        or item.get("type") == "helm.sh/release.v1"
        or (kind, name) in {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
        or (kind == "APIService" and "kube-aggregator.kubernetes.io/automanaged" in labels)
        or "mirror.linkerd.io/mirrored-service" in labels
    )


def _missing(wanted: Any, live: Any, path: str) -> Iterable[str]:
    """What of an announced value isn't so in the cluster; what the server adds is its own affair."""
    if wanted in (None, "", [], {}) or (isinstance(wanted, str) and isinstance(live, str) and _fits(wanted, live)):
        return
    if (_says_nothing(wanted) and live is None) or (isinstance(wanted, str) and _SIGN.fullmatch(wanted)):
        return
    if isinstance(wanted, Mapping):
        for key, value in wanted.items():
            # The server has it in `data`.
            if key in ("stringData", "status") or (isinstance(live, Mapping) and value in (None, "", [], {})):
                continue
            if not isinstance(live, Mapping) or (key not in live and not _says_nothing(value)):
                yield f"{path}.{key}: announced, but missing"
            else:
                yield from _missing(value, live.get(key), f"{path}.{key}")
    elif isinstance(wanted, list):
        if not isinstance(live, list) or len(live) != len(wanted):
            yield f"{path}: announced {wanted}, found {live}"
            return
        for number, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _missing(one, other, f"{path}[{number}]")
    elif wanted != live and str(wanted).strip() != str(live).strip() and _quantity(wanted) != _quantity(live):
        yield f"{path}: announced {wanted!r}, found {live!r}"


def _leftover(before: Any, after: Any, live: Any, path: str) -> Iterable[str]:
    """What was to go out of an object, and is still in it."""
    if after == UNKNOWN:
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
                yield from _leftover(value, inner, live[key], f"{path}.{key}")


def _says_nothing(value: Any) -> bool:
    """Whether a value is nothing but emptiness, which the server leaves out."""
    if isinstance(value, Mapping):
        return all(_says_nothing(item) for item in value.values())
    return value in (None, "", [], False, 0)


# What stands in place of a value: of a secret, of a certificate, of what nobody knew.
_SIGN = re.compile(rf"{re.escape(SECRET)}|{UNKNOWN}\n?|certificate [^\n]*, until \d{{4}}-\d\d-\d\d, sha256 \w+\n?")


def _fits(wanted: str, live: str) -> bool:
    """Whether a text is as announced but for what signs stand in place of."""
    pieces = _SIGN.split(wanted)
    if len(pieces) == 1:
        return wanted == live
    if pieces[0] == pieces[-1] == "":
        return True
    return re.fullmatch(".*?".join(re.escape(piece) for piece in pieces), live, re.DOTALL) is not None


def _is_sign(value: Any) -> bool:
    return isinstance(value, str) and bool(_SIGN.search(value))


def _is_hidden(change: Mapping[str, Any]) -> bool:
    """Whether a change may not be seen: of what signs stand for, and of defaults that are now given by name."""
    if all("before" not in field for field in change["fields"]):
        return True
    sides = [side for field in change["fields"] for side in (field.get("before"), field.get("after"))]
    return all(side is None or _is_sign(side) for side in sides)


def _quantity(value: Any) -> Any:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", str(value))
    if not found or (found[2] and found[2] not in _SUFFIXES):
        return str(value)
    try:
        return Decimal(found[1]) * Decimal(_SUFFIXES.get(found[2], "1"))
    except InvalidOperation:
        return str(value)
