"""Restart of the workloads of a namespace whose pods do not have the proxies that the namespace requires.

The workloads restart one after the other, each as `kubectl rollout restart` does. So a fault stops at the first
workload, and the next call continues there. A workload whose pods are right is never restarted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from mesh.kube.client import KubeClient
from mesh.kube.json_access import as_count, as_mapping
from mesh.proxied_workloads import (
    NamespaceWorkloads,
    ProxyRule,
    Workload,
    WorkloadPod,
    find_obstacle,
    read_workload,
    read_workloads,
    workload_path,
)
from mesh.readiness.limits import WaitLimits
from mesh.readiness.remedies import RemedySettings
from mesh.readiness.wait import ObjectsNotReadyError, ReadinessWait

RESTARTED_AT_ANNOTATION = "kubectl.kubernetes.io/restartedAt"
# The injector watches the namespaces. No API shows what it has received.
INJECTOR_DELAY_S = 1.0
_MAX_NAMES = 3


class RestartError(Exception):
    """A workload is not ready after its restart, so no further one was restarted.

    Args:
        message: the workload, its causes and their remedies.
        remaining: the workloads that still need a restart, the failed one first.
    """

    def __init__(self, message: str, remaining: Sequence[str]) -> None:
        super().__init__(message)
        self.remaining = tuple(remaining)


class WorkloadRestart:
    """A restart of the workloads of one namespace.

    Args:
        client: the cluster's client.
        namespace: name of the namespace.
        rule: the proxies that its pods must have.
        settings: names for messages and remedies.
        limits: limits of the wait for each workload.
        field_manager: field manager of the restarts.
        report: called with status lines.
        warn: called with each workload and pod that keeps its state, and the reason.
        deadline: a value of `time.monotonic()` after which no wait continues; None: there is none.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        rule: ProxyRule,
        *,
        settings: RemedySettings,
        limits: WaitLimits,
        field_manager: str,
        report: Callable[[str], None],
        warn: Callable[[str], None],
        deadline: float | None = None,
    ) -> None:
        self._client, self._namespace, self._rule, self._settings = client, namespace, rule, settings
        self._limits, self._field_manager, self._deadline = limits, field_manager, deadline
        self._report, self._warn = report, warn

    def run(self) -> None:
        """Restart the workloads, and wait for each of them.

        Raises:
            RestartError: a workload is not ready in time, or cannot become ready.
            ApiStatusError, ApiUnreachableError, BadCredentialsError: the workloads cannot be read or changed.
        """
        namespace = read_workloads(self._client, self._namespace)
        self._warn_of_other_pods(namespace)
        workloads = [each for each in namespace.workloads if each.list_wrong_pods(self._rule)]
        restarted = [each for each in workloads if not self._has_obstacle(each)]
        if restarted:
            time.sleep(INJECTOR_DELAY_S)
        for index, workload in enumerate(restarted):
            try:
                self._restart(workload, f"{workload.label} ({index + 1} of {len(restarted)})")
            except ObjectsNotReadyError as error:
                remaining = [each.label for each in restarted[index:]]
                raise RestartError(_format_failure(error, remaining[1:]), remaining) from None

    def _has_obstacle(self, workload: Workload) -> bool:
        """Return whether a restart cannot help, and warn of the reason."""
        obstacle = find_obstacle(workload, self._rule)
        if obstacle is not None:
            pods = self._describe(workload.list_wrong_pods(self._rule))
            self._warn(
                f"{self._settings.subject}: {workload.label}: {pods}, but it is not restarted, because {obstacle}; "
                "change that and restart it, or leave it as it is"
            )
        return obstacle is not None

    def _warn_of_other_pods(self, namespace: NamespaceWorkloads) -> None:
        """Warn of pods that a restart cannot re-create. Their annotations can be their own."""
        for controller, pods in sorted(namespace.other_pods.items()):
            wrong = [each for each in pods if each.has_proxy != self._rule.is_meshed]
            if wrong:
                them = "it" if len(wrong) == 1 else "them"
                creation = f"no controller would create {them} again"
                reason = f"{controller} cannot be restarted" if controller else creation
                self._warn(f"{self._settings.subject}: {self._describe(wrong)}: {reason}; re-create {them}")

    def _restart(self, workload: Workload, label: str) -> None:
        current = self._read(workload)
        if current is not None and _is_rolling_out(current):
            self._report(f"{self._settings.subject}: waiting for the rollout of {label}")
            self._wait(current)
            current = self._read(workload)
        if current is None or not current.list_wrong_pods(self._rule):
            return
        self._report(f"{self._settings.subject}: restarting {label}")
        if not self._patch(current):
            return
        self._wait(current)
        updated = self._read(workload)
        if updated is not None and (wrong := updated.list_wrong_pods(self._rule)):
            command = self._settings.kubectl(f"describe {updated.kind.lower()} {updated.name}", self._namespace)
            self._warn(
                f"{self._settings.subject}: {updated.label}: {self._describe(wrong)}, although it was restarted; find "
                f"the reason in its events: {command}"
            )

    def _read(self, workload: Workload) -> Workload | None:
        return read_workload(self._client, self._namespace, workload.kind, workload.name)

    def _patch(self, workload: Workload) -> bool:
        """Restart a workload; return whether it exists."""
        restarted_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        annotations = {RESTARTED_AT_ANNOTATION: restarted_at}
        path = workload_path(self._namespace, workload.kind, workload.name)
        patched = self._client.request(
            "PATCH",
            f"{path}?fieldManager={quote(self._field_manager, safe='')}",
            body={"spec": {"template": {"metadata": {"annotations": annotations}}}},
        )
        return patched is not None

    def _wait(self, workload: Workload) -> None:
        limits = self._limits
        if self._deadline is not None:
            remaining_s = max(0.0, self._deadline - time.monotonic())
            limits = WaitLimits(timeout_s=min(limits.timeout_s, remaining_s), fails_early=limits.fails_early)
        ReadinessWait(
            self._client,
            [{"kind": workload.kind, "metadata": {"name": workload.name}}],
            namespace=self._namespace,
            settings=self._settings,
            limits=limits,
            report=self._report,
        ).run()

    def _describe(self, pods: Sequence[WorkloadPod]) -> str:
        verb = "has" if len(pods) == 1 else "have"
        state = "no proxy" if self._rule.is_meshed else "a proxy"
        if self._rule.is_meshed and all(each.has_proxy for each in pods):
            state = "a proxy with other settings"
        return f"{_format_names(pods)} {verb} {state}"


def _is_rolling_out(workload: Workload) -> bool:
    """Return whether the controller still replaces pods of an older template."""
    spec, status = as_mapping(workload.live, "spec"), as_mapping(workload.live, "status")
    generation = as_count(as_mapping(workload.live, "metadata").get("generation"))
    if as_count(status.get("observedGeneration")) < generation:
        return True
    if workload.kind == "StatefulSet":
        return status.get("currentRevision") != status.get("updateRevision")
    if workload.kind == "DaemonSet":
        return as_count(status.get("updatedNumberScheduled")) < as_count(status.get("desiredNumberScheduled"))
    updated = as_count(status.get("updatedReplicas"))
    return as_count(status.get("replicas")) > updated or updated < as_count(spec.get("replicas", 1))


def _format_names(pods: Sequence[WorkloadPod]) -> str:
    names = ", ".join(each.name for each in pods[:_MAX_NAMES])
    more = len(pods) - _MAX_NAMES
    return f"{'Pod' if len(pods) == 1 else 'Pods'} {names}{f' and {more} more' if more > 0 else ''}"


def _format_failure(error: ObjectsNotReadyError, remaining: Sequence[str]) -> str:
    return f"{error}\nnot restarted yet: {', '.join(remaining)}" if remaining else str(error)
