"""The reasons why objects are not ready, and what the user can do.

A diagnosis is a function of a cluster and its objects. A request that fails hides nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.kube.client import KubeClient
from mesh.kube.json_access import as_mapping
from mesh.message_format import truncate
from mesh.readiness.api_objects import diagnose_api_service, diagnose_crd
from mesh.readiness.cause import Cause
from mesh.readiness.cluster_reader import ClusterReader
from mesh.readiness.grouping import sort_causes
from mesh.readiness.jobs import diagnose_job
from mesh.readiness.load_balancers import diagnose_load_balancer
from mesh.readiness.remedies import RemedySettings
from mesh.readiness.scope import Scope
from mesh.readiness.workloads import diagnose_workload

__all__ = ["Cause", "Diagnosis", "RemedySettings", "diagnose", "format_report", "format_short"]

_LOG_PREFIX = "| "
_MAX_BRIEF_LENGTH = 80
_KINDS: Mapping[str, Callable[[Scope], tuple[str, list[Cause]]]] = {
    "Deployment": diagnose_workload,
    "StatefulSet": diagnose_workload,
    "DaemonSet": diagnose_workload,
    "Job": diagnose_job,
    "Service": diagnose_load_balancer,
    "CustomResourceDefinition": diagnose_crd,
    "APIService": diagnose_api_service,
}


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """An object that is not ready, and the causes, the most useful first."""

    kind: str
    name: str
    namespace: str  # empty for a cluster-scoped object
    summary: str  # such as "1 of 3 pods not ready"
    causes: tuple[Cause, ...] = ()

    @property
    def label(self) -> str:
        """Return kind and name for a message."""
        return f"{self.kind} {self.name}"


def diagnose(
    client: KubeClient, objects: Sequence[Mapping[str, Any]], settings: RemedySettings, *, with_logs: bool
) -> list[Diagnosis]:
    """Return a diagnosis of each object that is not ready.

    Args:
        client: the cluster's client.
        objects: live objects that are not ready. One without a UID in its metadata does not exist in the cluster.
        settings: names for the remedies.
        with_logs: whether logs of containers are read too.
    """
    reader = ClusterReader(client, with_logs=with_logs)
    return [_diagnose_object(Scope(live=live, reader=reader, settings=settings)) for live in objects]


def format_short(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as a part of a line, such as `Deployment web (1 of 1 pod not ready: Unschedulable)`."""
    if not diagnosis.causes:
        return f"{diagnosis.label} ({diagnosis.summary})"
    cause = diagnosis.causes[0]
    container = cause.subject.partition(", ")[2] if cause.subject.startswith("Pod ") else ""
    if container:
        return f"{diagnosis.label} ({diagnosis.summary}: {container}: {cause.reason})"
    brief = f": {truncate(cause.message, _MAX_BRIEF_LENGTH)}" if cause.message else ""
    return f"{diagnosis.label} ({diagnosis.summary}: {cause.reason}{brief})"


def format_report(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Return diagnoses as lines. Several causes with the same remedy have it once."""
    remedies: set[str] = set()
    return [line for each in diagnoses for line in _format_lines(each, remedies)]


def _format_lines(diagnosis: Diagnosis, remedies: set[str]) -> list[str]:
    place = f" in namespace {diagnosis.namespace}" if diagnosis.namespace else ""
    lines = [f"{diagnosis.label}{place}: {diagnosis.summary}"]
    for cause in diagnosis.causes:
        message = f": {cause.message}" if cause.message else ""
        lines.append(f"  {cause.subject}: {cause.reason}{message}")
        if cause.remedy is not None:
            lines.append(f"    remedy: {'as above' if cause.remedy in remedies else cause.remedy}")
            remedies.add(cause.remedy)
        lines += [f"    {_LOG_PREFIX}{line}" for line in cause.log]
    return lines


def _diagnose_object(scope: Scope) -> Diagnosis:
    summary, causes = _find_causes(scope)
    unread = _unread_causes(scope)
    return Diagnosis(
        kind=scope.kind,
        name=scope.name,
        namespace=scope.namespace,
        summary=summary,
        causes=(*sort_causes(causes), *unread),
    )


def _find_causes(scope: Scope) -> tuple[str, list[Cause]]:
    metadata = as_mapping(dict(scope.live), "metadata")
    if not metadata.get("uid"):
        return "does not exist", [_missing_cause(scope)]
    find_causes = _KINDS.get(scope.kind)
    return ("not ready", []) if find_causes is None else find_causes(scope)


def _missing_cause(scope: Scope) -> Cause:
    return Cause(
        subject=f"{scope.kind} {scope.name}",
        reason="NotFound",
        message="the object was deleted after it had been installed",
        remedy="find what deleted it, then run `pulumi up --refresh`, which creates it again",
    )


def _unread_causes(scope: Scope) -> list[Cause]:
    unread = scope.reader.take_unread()
    if not unread:
        return []
    remedy = (
        "allow the kubeconfig's user to get and list pods, pods/log, replicasets and events, for a complete diagnosis"
    )
    return [
        Cause(
            subject="Diagnosis",
            reason="Incomplete",
            message=f"cannot read {', '.join(unread)}",
            remedy=remedy if any("not allowed" in each for each in unread) else None,
        )
    ]
