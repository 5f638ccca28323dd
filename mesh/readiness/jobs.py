"""Jobs that are not complete."""

from __future__ import annotations

from mesh.kube.conditions import find_condition
from mesh.kube.json_access import as_count, as_mapping, as_text
from mesh.readiness.cause import Cause
from mesh.readiness.cluster_reader import event_attempt, event_message
from mesh.readiness.grouping import examine_pods
from mesh.readiness.pod_creation import find_creation_cause, find_creation_event
from mesh.readiness.pods import is_pod_ready
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.revisions import list_pods
from mesh.readiness.scope import Scope


def diagnose_job(scope: Scope) -> tuple[str, list[Cause]]:
    """Return the summary and the causes for a Job that is not complete."""
    pods = list_pods(scope)
    failure = _find_failure(scope)
    unfinished = [each for each in pods or () if as_mapping(each, "status").get("phase") != "Succeeded"]
    causes = examine_pods(scope, [each for each in unfinished if not is_pod_ready(each)])
    if failure is not None:
        return f"failed{_format_failed_pods(scope)}", [failure, *causes]
    summary = f"not complete{_format_failed_pods(scope)}"
    if pods == [] and (event := find_creation_event(scope, scope.live)) is not None:
        message = event_message(event)
        return summary, [find_creation_cause(scope, f"Job {scope.name}", message, attempt=event_attempt(event))]
    if not causes and unfinished:
        causes = [Cause(subject=f"Job {scope.name}", reason="Running", message="its pod runs")]
    return summary, causes


def _find_failure(scope: Scope) -> Cause | None:
    """Return the cause for a Job that failed: it starts no further pod."""
    for kind in ("Failed", "FailureTarget"):
        condition = find_condition(scope.live, kind)
        if condition.get("status") == "True":
            reason = quote_name(as_text(condition.get("reason"))) or "Failed"
            delete = scope.kubectl(f"delete job {scope.name}")
            return Cause(
                subject=f"Job {scope.name}",
                reason=reason,
                message=quote(as_text(condition.get("message"))),
                remedy=f"correct the cause in its pods, delete the Job ({delete}), and run `pulumi up --refresh`",
                permanent=scope.identify(reason),
            )
    return None


def _format_failed_pods(scope: Scope) -> str:
    failed = as_count(scope.status.get("failed"))
    return f", {failed} {'pod' if failed == 1 else 'pods'} failed" if failed else ""
