"""Pods that are not ready: not scheduled, not started, crashing, not ready, evicted, or terminating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mesh.kube.conditions import find_condition
from mesh.kube.json_access import as_mapping, as_text, as_texts
from mesh.readiness.cause import Cause
from mesh.readiness.cluster_reader import event_message
from mesh.readiness.containers import STARTING_REASONS, ContainerState, find_failure, find_unready, list_containers
from mesh.readiness.nodes import find_node_cause, pod_argument
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scheduling import find_scheduling_causes
from mesh.readiness.scope import Scope, object_name
from mesh.readiness.volumes import mount_remedy

_SANDBOX_REASONS = ("FailedCreatePodSandBox", "NetworkNotReady")
# Events that keep the containers of a pod from being created.
_START_REASONS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", *_SANDBOX_REASONS})
_MAX_NAMES = 3
_TERMINATION_GRACE_S = 10


def is_pod_ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod is ready and stays."""
    return not is_terminating(pod) and find_condition(pod, "Ready").get("status") == "True"


def is_terminating(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod is being deleted."""
    return bool(as_mapping(dict(pod), "metadata").get("deletionTimestamp"))


def is_finished(pod: Mapping[str, Any]) -> bool:
    """Return whether no container of a pod runs again."""
    return as_mapping(dict(pod), "status").get("phase") in ("Succeeded", "Failed")


def find_pod_causes(scope: Scope, pod: Mapping[str, Any]) -> list[Cause]:
    """Return the causes that keep a pod from becoming ready.

    Args:
        scope: the object that is not ready.
        pod: a pod of it that is not ready.
    """
    subject = f"Pod {object_name(pod)}"
    if is_terminating(pod):
        return [_find_termination(scope, subject, pod)]
    spec, status = as_mapping(dict(pod), "spec"), as_mapping(dict(pod), "status")
    containers = list_containers(pod)
    if status.get("phase") == "Failed" and status.get("reason"):
        return [_pod_failure(scope, subject, status)]
    if not spec.get("nodeName"):
        return find_scheduling_causes(scope, subject, pod)
    waiting = _blocking_containers(containers)
    restart_policy = as_text(spec.get("restartPolicy")) or "Always"
    failures = [find_failure(scope, each, restart_policy) for each in waiting]
    if causes := [each for each in failures if each is not None]:
        return causes
    if unready := [each for each in waiting if each.is_running]:
        return _find_unready_causes(scope, subject, pod, unready)
    if waiting:
        return _find_start_causes(scope, subject, pod, waiting)
    return _find_condition_causes(scope, subject, pod)


def _blocking_containers(containers: Sequence[ContainerState]) -> list[ContainerState]:
    """Return the containers that are next: one init container, or all containers that are not ready."""
    for each in containers:
        if each.is_init and not each.is_sidecar and not each.is_done:
            return [each]
        if each.is_sidecar and each.status.get("started") is not True:
            return [each]
    return [each for each in containers if not each.is_done and (not each.is_init or each.is_sidecar)]


def _find_unready_causes(
    scope: Scope, subject: str, pod: Mapping[str, Any], unready: Sequence[ContainerState]
) -> list[Cause]:
    causes = [find_unready(scope, each) for each in unready]
    if all(each.reason == "ContainersNotReady" for each in causes):
        node_cause = find_node_cause(scope, subject, as_text(as_mapping(dict(pod), "spec").get("nodeName")))
        if node_cause is not None:
            return [node_cause, *causes]
    return causes


def _find_start_causes(
    scope: Scope, subject: str, pod: Mapping[str, Any], waiting: Sequence[ContainerState]
) -> list[Cause]:
    events = [each for each in scope.reader.list_warnings(pod) if as_text(each.get("reason")) in _START_REASONS]
    # The kubelet's second event names only the volumes that are not mounted.
    event = next((each for each in events if not _is_vague(each)), events[0] if events else None)
    if event is not None:
        reason, message = as_text(event.get("reason")), event_message(event)
        remedy = mount_remedy(scope, message)
        if reason in _SANDBOX_REASONS:
            remedy = "if it lasts, check the pods of the network plugin (CNI) on the pod's node"
        return [Cause(subject=subject, reason=reason, message=quote(message), remedy=remedy)]
    if not any(each.waiting_reason is not None for each in waiting):
        # The kubelet reports containers within a second after it received the pod.
        node_name = as_text(as_mapping(dict(pod), "spec").get("nodeName"))
        if (node_cause := find_node_cause(scope, subject, node_name)) is not None:
            return [node_cause]
    creating = [each for each in waiting if each.waiting_reason in STARTING_REASONS] or list(waiting)
    reason = creating[0].waiting_reason or "ContainerCreating"
    return [Cause(subject=_containers_subject(subject, creating), reason=reason)]


def _is_vague(event: Mapping[str, Any]) -> bool:
    return event_message(event).startswith(("Unable to attach or mount volumes", "unmounted volumes"))


def _containers_subject(subject: str, containers: Sequence[ContainerState]) -> str:
    if len(containers) == 1:
        return containers[0].subject
    names = ", ".join(each.label for each in containers[:_MAX_NAMES])
    more = len(containers) - _MAX_NAMES
    return f"{subject}, containers {names}{f' and {more} more' if more > 0 else ''}"


def _find_condition_causes(scope: Scope, subject: str, pod: Mapping[str, Any]) -> list[Cause]:
    """Return the cause of a pod whose containers are ready, or of which nothing is known."""
    condition = find_condition(pod, "Ready")
    if condition.get("status") == "True":
        return []
    node_name = as_text(as_mapping(dict(pod), "spec").get("nodeName"))
    if (node_cause := find_node_cause(scope, subject, node_name)) is not None:
        return [node_cause]
    reason, message = as_text(condition.get("reason")), as_text(condition.get("message"))
    remedy = "check the controller that sets the pod's readiness gates" if reason == "ReadinessGatesNotReady" else None
    return [Cause(subject=subject, reason=quote_name(reason) or "NotReady", message=quote(message), remedy=remedy)]


def _pod_failure(scope: Scope, subject: str, status: Mapping[str, Any]) -> Cause:
    reason = quote_name(as_text(status.get("reason")))
    remedy = f"see {scope.kubectl(f'describe {pod_argument(subject)}')}"
    if reason == "Evicted":
        remedy = "free the resource on the node, or add a node"
    elif reason in ("NodeLost", "NodeShutdown", "Terminated", "Shutdown"):
        remedy = "repair the node, or delete it if it is gone"
    return Cause(subject=subject, reason=reason, message=quote(as_text(status.get("message"))), remedy=remedy)


def _find_termination(scope: Scope, subject: str, pod: Mapping[str, Any]) -> Cause:
    metadata = as_mapping(dict(pod), "metadata")
    since = as_text(metadata.get("deletionTimestamp"))
    # Kubernetes adds the grace period to the time of the deletion.
    if not _is_older_than(since, _TERMINATION_GRACE_S):
        return Cause(subject=subject, reason="Terminating", message="the pod is being deleted")
    if finalizers := as_texts(metadata.get("finalizers")):
        names = quote(", ".join(finalizers), 200)
        message = f"the grace period ended at {quote_name(since)}; the pod waits for its finalizers: {names}"
        return Cause(
            subject=subject, reason="Terminating", message=message, remedy="check the controllers of these finalizers"
        )
    node_cause = find_node_cause(scope, subject, as_text(as_mapping(dict(pod), "spec").get("nodeName")))
    message = f"the grace period ended at {quote_name(since)}"
    force = scope.kubectl(f"delete {pod_argument(subject)} --force --grace-period=0")
    if node_cause is not None:
        return Cause(
            subject=subject,
            reason="Terminating",
            message=quote(f"{message}; {node_cause.message}"),
            remedy=f"repair the node; only if it is gone for good, delete the pod by force: {force}",
        )
    return Cause(
        subject=subject,
        reason="Terminating",
        message=message,
        remedy=f"see {scope.kubectl(f'describe {pod_argument(subject)}')}: the kubelet cannot stop the pod",
    )


def _is_older_than(timestamp: str, seconds: int) -> bool:
    try:
        time = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
        return (datetime.now(UTC) - time).total_seconds() > seconds
    except (ValueError, TypeError, OverflowError):
        return False
