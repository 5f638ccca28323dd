"""Deployments, StatefulSets and DaemonSets that are not ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.kube.conditions import find_condition
from mesh.kube.json_access import as_count, as_mapping, as_text
from mesh.readiness.cause import Cause
from mesh.readiness.cluster_reader import event_attempt, event_message
from mesh.readiness.grouping import examine_pods
from mesh.readiness.pod_creation import find_creation_cause, find_creation_event
from mesh.readiness.pods import is_finished, is_pod_ready, is_terminating
from mesh.readiness.quotation import quote
from mesh.readiness.revisions import find_current_pods, find_newest_replica_set, list_pods
from mesh.readiness.scope import Scope, object_name


def diagnose_workload(scope: Scope) -> tuple[str, list[Cause]]:
    """Return the summary and the causes for a Deployment, StatefulSet or DaemonSet that is not ready."""
    desired = _count_desired(scope)
    pods = list_pods(scope)
    causes = _find_controller_causes(scope)
    if pods is None:
        ready = as_count(scope.status.get("numberReady" if scope.kind == "DaemonSet" else "readyReplicas"))
        return _summarize(desired, ready, "ready"), causes + _find_creation_causes(scope, missing=0)
    current = find_current_pods(scope, pods)
    former = [each for each in pods if each not in current]
    active = [each for each in current if not is_terminating(each) and not is_finished(each)]
    unready = [each for each in active if not is_pod_ready(each)]
    causes += examine_pods(scope, unready)
    causes += _find_creation_causes(scope, missing=desired - len(active))
    if not any(each.remedy for each in causes):
        causes += examine_pods(scope, [each for each in current if is_finished(each) and not is_terminating(each)])
        causes += examine_pods(scope, [each for each in pods if is_terminating(each)])
    if not causes:
        causes = _find_rollout_causes(scope, former, has_ready=len(active) > len(unready))
    state = "updated" if former else "ready" if active else "created"
    return _summarize(desired, len(active) - len(unready), state), causes


def _count_desired(scope: Scope) -> int:
    if scope.kind == "DaemonSet":
        return as_count(scope.status.get("desiredNumberScheduled"))
    return as_count(scope.spec.get("replicas", 1))


def _summarize(desired: int, ready: int, state: str) -> str:
    if desired <= ready:
        return "the rollout is not complete"
    return f"{desired - ready} of {desired} {'pod' if desired == 1 else 'pods'} not {state}"


def _find_controller_causes(scope: Scope) -> list[Cause]:
    """Return the cause for a controller that handles the workload not at all."""
    subject = f"{scope.kind} {scope.name}"
    if scope.spec.get("paused") is True:
        command = scope.kubectl(f"rollout resume {scope.kind.lower()}/{scope.name}")
        return [
            Cause(subject=subject, reason="Paused", message="the rollout is paused", remedy=f"resume it: {command}")
        ]
    generation = as_count(as_mapping(dict(scope.live), "metadata").get("generation"))
    observed = as_count(scope.status.get("observedGeneration"))
    if observed < generation:
        message = f"the controller has not handled the last change (generation {generation}) yet"
        remedy = "if it lasts, check that kube-controller-manager runs"
        return [Cause(subject=subject, reason="NotObserved", message=message, remedy=remedy)]
    return []


def _find_creation_causes(scope: Scope, *, missing: int) -> list[Cause]:
    """Return the cause for pods that cannot be created.

    Args:
        scope: the workload.
        missing: number of pods that do not exist. In an ordered StatefulSet, they wait for another pod.
    """
    condition = find_condition(scope.live, "ReplicaFailure")
    message = as_text(condition.get("message")) if condition.get("status") == "True" else ""
    if missing <= 0 and not message:
        return []
    controller: Mapping[str, Any] = scope.live
    if scope.kind == "Deployment":
        controller = find_newest_replica_set(scope)
    event = find_creation_event(scope, controller)
    if event is None and not message:
        return []
    subject = f"ReplicaSet {object_name(controller)}" if scope.kind == "Deployment" and controller else None
    return [
        find_creation_cause(
            scope,
            subject or f"{scope.kind} {scope.name}",
            event_message(event) if event is not None else message,
            attempt=event_attempt(event) if event is not None else "",
        )
    ]


def _find_rollout_causes(scope: Scope, former: Sequence[Mapping[str, Any]], *, has_ready: bool) -> list[Cause]:
    """Return the cause for a workload whose pods give none."""
    subject = f"{scope.kind} {scope.name}"
    progressing = find_condition(scope.live, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        message = quote(as_text(progressing.get("message")))
        remedy = f"see {scope.kubectl(f'describe {scope.kind.lower()} {scope.name}')}"
        return [Cause(subject=subject, reason="ProgressDeadlineExceeded", message=message, remedy=remedy)]
    if former:
        message = f"{len(former)} {'pod' if len(former) == 1 else 'pods'} of the former revision still exist"
        return [Cause(subject=subject, reason="RollingUpdate", message=message)]
    if has_ready:
        minimum_s = as_count(scope.spec.get("minReadySeconds"))
        message = f"pods count as available after {minimum_s} s (minReadySeconds)" if minimum_s else ""
        return [Cause(subject=subject, reason="MinimumReplicasUnavailable", message=message)]
    return [Cause(subject=subject, reason="Pending", message="the controller has not created a pod yet")]
