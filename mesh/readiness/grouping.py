"""Causes of several pods: equal ones are one cause, and the most useful ones come first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mesh.kube.json_access import as_mapping, as_text
from mesh.readiness.cause import Cause
from mesh.readiness.pods import find_pod_causes
from mesh.readiness.scope import Scope, object_name

_MAX_CAUSES = 8
# Pods of one workload fail for few reasons.
_MAX_EXAMINED_PODS = 20
# Reasons that need no action, or that follow from another cause. A lower number comes first.
_RANKS: Mapping[str, int] = {
    "ContainersNotReady": 2,
    "Evicted": 3,
    "ContainerCreating": 4,
    "PodInitializing": 4,
    "Pending": 4,
    "Terminating": 5,
}


@dataclass(frozen=True, kw_only=True)
class _PodCause:
    """A cause and the pod that it is about."""

    pod: Mapping[str, Any]
    cause: Cause


def examine_pods(scope: Scope, pods: Sequence[Mapping[str, Any]]) -> list[Cause]:
    """Return the causes for pods that are not ready.

    Several pods with the same cause have one entry, with the name of one pod and the number of the others.

    Args:
        scope: the object that the pods belong to.
        pods: the pods.
    """
    examined = pods[:_MAX_EXAMINED_PODS]
    return _group(_PodCause(pod=pod, cause=cause) for pod in examined for cause in find_pod_causes(scope, pod))


def _group(pod_causes: Iterable[_PodCause]) -> list[Cause]:
    groups: dict[tuple[str, ...], list[Cause]] = {}
    for each in pod_causes:
        groups.setdefault(_group_key(each), []).append(each.cause)
    return [_merge(group) for group in groups.values()]


def sort_causes(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Return the most useful causes: permanent ones first, and those that need no action last."""
    return tuple(sorted(causes, key=_rank)[:_MAX_CAUSES])


def _rank(cause: Cause) -> int:
    if cause.permanent is not None:
        return 0
    return _RANKS.get(cause.reason, 1)


def _group_key(item: _PodCause) -> tuple[str, ...]:
    """Return the parts of a cause without what differs between pods: their names and addresses."""
    cause = item.cause
    status, metadata = as_mapping(dict(item.pod), "status"), as_mapping(dict(item.pod), "metadata")
    message = cause.message
    for own in (as_text(status.get("podIP")), as_text(metadata.get("uid")), object_name(item.pod)):
        if own:
            message = message.replace(own, "")
    container = cause.subject.partition(", ")[2]
    kind = cause.subject.partition(" ")[0]
    name = "" if kind == "Pod" else cause.subject
    return (kind, name, container, cause.reason, message, cause.permanent or "")


def _merge(group: Sequence[Cause]) -> Cause:
    first = next((each for each in group if each.log), group[0])
    others = len(group) - 1
    if not others or not first.subject.startswith("Pod "):
        return first
    pod, comma, container = first.subject.partition(", ")
    subject = f"{pod} and {others} more {'pod' if others == 1 else 'pods'}{comma}{container}"
    return replace(first, subject=subject, attempt=max(each.attempt for each in group))
