"""Deployments, StatefulSets, DaemonSets and Jobs that are not ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mesh.kube.conditions import find_condition
from mesh.kube.json_access import as_mapping, as_mappings, as_text, as_texts
from mesh.readiness.cause import Cause
from mesh.readiness.cluster_reader import event_attempt
from mesh.readiness.grouping import PodCause, group_causes
from mesh.readiness.pod_creation import find_creation_cause, find_creation_event
from mesh.readiness.pods import find_pod_causes, is_finished, is_pod_ready, is_terminating
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scope import Scope, as_count, object_name

WORKLOAD_KINDS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job"})
# Labels with the revision of a pod, by the kind of its workload.
_REVISION_LABELS = {
    "Deployment": "pod-template-hash",
    "StatefulSet": "controller-revision-hash",
    "DaemonSet": "controller-revision-hash",
}
_REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
# Pods of one workload fail for few reasons.
_MAX_EXAMINED_PODS = 20


def diagnose_workload(scope: Scope) -> tuple[str, list[Cause]]:
    """Return the summary and the causes for a workload that is not ready."""
    if scope.kind == "Job" and (failure := _find_job_failure(scope)) is not None:
        return _job_summary(scope), [*_find_job_pod_causes(scope), failure]
    desired = _desired_pods(scope)
    pods = _list_pods(scope)
    current = _current_pods(scope, pods)
    active = [each for each in current if not is_terminating(each) and not is_finished(each)]
    unready = [each for each in active if not is_pod_ready(each)]
    ready_count = len(active) - len(unready)
    causes = _find_controller_causes(scope)
    causes += group_causes(_examine(scope, unready))
    missing_count = max(desired - len(active), 0)
    if missing_count:
        causes += _find_missing_pod_causes(scope, pods)
    if not any(each.remedy for each in causes):
        left_over = [each for each in current if is_finished(each) and not is_terminating(each)]
        causes += group_causes(_examine(scope, left_over)) if scope.kind != "Job" else []
        causes += group_causes(_examine(scope, [each for each in pods if is_terminating(each)]))
    if not causes:
        causes = _find_rollout_causes(scope, pods, current, ready_count)
    return _summarize(scope, desired, len(active), ready_count, pods), causes


def _summarize(scope: Scope, desired: int, active: int, ready: int, pods: list[dict[str, Any]]) -> str:
    unread = desired > 0 and not pods and as_count(scope.status.get("replicas")) > 0
    if unread:
        ready = min(as_count(scope.status.get("readyReplicas")), desired)
    not_ready = max(desired - ready, 0)
    if not not_ready:
        return "the rollout is not complete"
    noun = "pod" if desired == 1 else "pods"
    if not active and not unread:
        return f"{not_ready} of {desired} {noun} not created"
    return f"{not_ready} of {desired} {noun} not ready"


def _desired_pods(scope: Scope) -> int:
    if scope.kind == "DaemonSet":
        return as_count(scope.status.get("desiredNumberScheduled"))
    if scope.kind == "Job":
        return 1
    replicas = scope.spec.get("replicas", 1)
    return as_count(replicas) if isinstance(replicas, int) else 1


def _list_pods(scope: Scope) -> list[dict[str, Any]]:
    selector = format_selector(as_mapping(scope.spec, "selector"))
    if not selector or not scope.namespace:
        return []
    return scope.reader.list_pods(scope.namespace, selector)


def format_selector(selector: Mapping[str, Any]) -> str:
    """Return a label selector of an object in the form of a query; empty if it is not valid."""
    labels = as_mapping(dict(selector), "matchLabels")
    terms = [f"{key}={value}" for key, value in labels.items() if isinstance(value, str)]
    for each in as_mappings(selector.get("matchExpressions")):
        key, operator, values = as_text(each.get("key")), each.get("operator"), as_texts(each.get("values"))
        if operator in ("In", "NotIn"):
            terms.append(f"{key} {str(operator).lower()} ({','.join(values)})")
        elif operator in ("Exists", "DoesNotExist"):
            terms.append(f"{'!' if operator == 'DoesNotExist' else ''}{key}")
    return ",".join(terms)


def _current_pods(scope: Scope, pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pods of the workload's current revision."""
    label = _REVISION_LABELS.get(scope.kind)
    if label is None:
        return pods
    revisions = {as_text(as_mapping(each, "metadata", "labels").get(label)) for each in pods}
    if len(revisions) < 2:
        return pods
    current = _find_current_revision(scope, label)
    return [each for each in pods if not current or as_mapping(each, "metadata", "labels").get(label) == current]


def _find_current_revision(scope: Scope, label: str) -> str:
    if scope.kind == "StatefulSet":
        return as_text(scope.status.get("updateRevision"))
    if scope.kind == "DaemonSet":
        return ""  # its ControllerRevisions are objects of their own; all of its pods are examined
    newest = _find_newest_replica_set(scope)
    return as_text(as_mapping(newest, "metadata", "labels").get(label))


def _find_newest_replica_set(scope: Scope) -> dict[str, Any]:
    uid = as_mapping(dict(scope.live), "metadata").get("uid")
    selector = format_selector(as_mapping(scope.spec, "selector"))
    if not selector or not scope.namespace:
        return {}
    replica_sets = [
        each
        for each in scope.reader.list_replica_sets(scope.namespace, selector)
        if any(owner.get("uid") == uid for owner in as_mappings(as_mapping(each, "metadata").get("ownerReferences")))
    ]
    return max(replica_sets, key=_revision_number, default={})


def _revision_number(replica_set: Mapping[str, Any]) -> int:
    text = as_text(as_mapping(dict(replica_set), "metadata", "annotations").get(_REVISION_ANNOTATION))
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _examine(scope: Scope, pods: Iterable[Mapping[str, Any]]) -> list[PodCause]:
    examined = list(pods)[:_MAX_EXAMINED_PODS]
    return [PodCause(pod=pod, cause=cause) for pod in examined for cause in find_pod_causes(scope, pod)]


def _find_controller_causes(scope: Scope) -> list[Cause]:
    subject = f"{scope.kind} {scope.name}"
    generation = as_count(as_mapping(dict(scope.live), "metadata").get("generation"))
    observed = as_count(scope.status.get("observedGeneration"))
    if scope.spec.get("paused") is True:
        command = scope.kubectl(f"rollout resume {scope.kind.lower()}/{scope.name}")
        message = "somebody paused the rollout"
        return [Cause(subject=subject, reason="Paused", message=message, remedy=f"resume it: {command}")]
    if scope.kind != "Job" and observed < generation:
        message = f"the controller has handled generation {observed} of {generation}"
        remedy = "if it lasts, check that kube-controller-manager runs"
        return [Cause(subject=subject, reason="NotObserved", message=message, remedy=remedy)]
    return []


def _find_missing_pod_causes(scope: Scope, pods: list[dict[str, Any]]) -> list[Cause]:
    """Return the cause for pods that do not exist."""
    condition = find_condition(scope.live, "ReplicaFailure")
    message = as_text(condition.get("message")) if condition.get("status") == "True" else ""
    controller: Mapping[str, Any] = scope.live
    if scope.kind == "Deployment" and scope.status:
        controller = _find_newest_replica_set(scope)
    event = find_creation_event(scope, controller) if controller else None
    # Other pods of an ordered StatefulSet wait for the one that is not ready.
    if event is None and not message:
        return []
    kind = "ReplicaSet" if scope.kind == "Deployment" else scope.kind
    name = object_name(controller) if controller else scope.name
    text = as_text(event.get("message")) if event is not None else message
    attempt = event_attempt(event) if event is not None else ""
    return [find_creation_cause(scope, f"{kind} {name}", text or message, attempt=attempt)]


def _find_rollout_causes(
    scope: Scope, pods: list[dict[str, Any]], current: list[dict[str, Any]], ready_count: int
) -> list[Cause]:
    """Return the cause for a workload whose pods give none."""
    subject = f"{scope.kind} {scope.name}"
    former = [each for each in pods if each not in current]
    if former:
        message = f"{len(former)} {'pod' if len(former) == 1 else 'pods'} of the former revision still exist"
        return [Cause(subject=subject, reason="RollingUpdate", message=message)]
    progressing = find_condition(scope.live, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return [
            Cause(
                subject=subject,
                reason="ProgressDeadlineExceeded",
                message=quote(as_text(progressing.get("message"))),
                remedy=f"see {scope.kubectl(f'describe {scope.kind.lower()} {scope.name}')}",
            )
        ]
    if ready_count:
        minimum = as_count(scope.spec.get("minReadySeconds"))
        message = f"pods count as available after {minimum} s (minReadySeconds)" if minimum else "its pods are ready"
        return [Cause(subject=subject, reason="MinimumReplicasUnavailable", message=message)]
    return []


def _find_job_failure(scope: Scope) -> Cause | None:
    """Return the cause for a Job that failed, which is final."""
    for kind in ("Failed", "FailureTarget"):
        condition = find_condition(scope.live, kind)
        if condition.get("status") == "True":
            reason = quote_name(as_text(condition.get("reason"))) or "Failed"
            return Cause(
                subject=f"Job {scope.name}",
                reason=reason,
                message=quote(as_text(condition.get("message"))),
                remedy=f"correct the cause, then delete the Job ({scope.kubectl(f'delete job {scope.name}')}) and run "
                "`pulumi up --refresh`",
                permanent=scope.identify(reason),
            )
    return None


def _find_job_pod_causes(scope: Scope) -> list[Cause]:
    pods = [each for each in _list_pods(scope) if as_mapping(each, "status").get("phase") != "Succeeded"]
    return group_causes(_examine(scope, pods))


def _job_summary(scope: Scope) -> str:
    failed = as_count(scope.status.get("failed"))
    return f"failed, {failed} {'pod' if failed == 1 else 'pods'} failed" if failed else "failed"
