"""Containers that do not become ready, from their states in a pod's status."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.kube.json_access import as_count, as_mapping, as_mappings, as_text
from mesh.readiness.cause import Cause
from mesh.readiness.cluster_reader import event_message
from mesh.readiness.image_pull import IMAGE_REASONS, find_image_cause
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scope import Scope, object_name
from mesh.readiness.volumes import missing_object_remedy

# Reasons of containers that wait for their turn.
STARTING_REASONS = frozenset({"ContainerCreating", "PodInitializing", ""})
_IPTABLES_ERROR = re.compile(r"ip6?tables|nf_tables|nft\b|legacy", re.IGNORECASE)
_EXEC_FORMAT = re.compile(r"exec format error")
_MISSING_OBJECT = re.compile(r"(secret|configmap) \"([^\"]+)\" not found", re.IGNORECASE)
_MISSING_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) \S*?/?([^/\s]+)$")
_SIGNALS = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM"}
_LINKERD_INIT = "linkerd-init"
_CNI_VALIDATOR = "linkerd-network-validator"


@dataclass(frozen=True, kw_only=True)
class ContainerState:
    """A container of a pod: its name, its image, and its status."""

    pod: Mapping[str, Any]
    name: str
    is_init: bool
    is_sidecar: bool  # an init container that keeps running
    status: Mapping[str, Any]

    @property
    def subject(self) -> str:
        """Return pod and container for a message."""
        return f"Pod {object_name(self.pod)}, {'init container' if self.is_init else 'container'} {self.label}"

    @property
    def label(self) -> str:
        """Return the container's name for a message."""
        return quote_name(self.name)

    @property
    def waiting_reason(self) -> str | None:
        """Return the reason why the container waits, or None if it does not."""
        waiting = as_mapping(dict(self.status), "state").get("waiting")
        return as_text(waiting.get("reason")) if isinstance(waiting, dict) else None

    @property
    def is_running(self) -> bool:
        """Return whether the container runs."""
        return isinstance(as_mapping(dict(self.status), "state").get("running"), dict)

    @property
    def terminated(self) -> dict[str, Any]:
        """Return the state of the container if it has ended, or an empty mapping."""
        return as_mapping(dict(self.status), "state", "terminated")

    @property
    def last_terminated(self) -> dict[str, Any]:
        """Return the state in which the container ended before its last restart, or an empty mapping."""
        return as_mapping(dict(self.status), "lastState", "terminated")

    @property
    def is_done(self) -> bool:
        """Return whether the container needs nothing further."""
        if self.is_sidecar:
            return self.status.get("started") is True and self.status.get("ready") is not False
        if self.is_init:
            return bool(self.terminated) and self.terminated.get("exitCode") == 0
        return self.status.get("ready") is True

    def filter_events(self, events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the events of the pod that are about this container."""
        field = f"{'initContainers' if self.is_init else 'containers'}{{{self.name}}}"
        return [
            each
            for each in events
            if as_text(as_mapping(dict(each), "involvedObject").get("fieldPath")).endswith(field)
        ]


def list_containers(pod: Mapping[str, Any]) -> list[ContainerState]:
    """Return the containers of a pod, init containers first, each with its status if the kubelet has reported one."""
    spec, status = as_mapping(dict(pod), "spec"), as_mapping(dict(pod), "status")
    containers: list[ContainerState] = []
    for key, status_key in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        statuses = {as_text(each.get("name")): each for each in as_mappings(status.get(status_key))}
        for each in as_mappings(spec.get(key)):
            name = as_text(each.get("name"))
            container_status = statuses.get(name, {})
            containers.append(
                ContainerState(
                    pod=pod,
                    name=name,
                    is_init=key == "initContainers",
                    is_sidecar=key == "initContainers" and each.get("restartPolicy") == "Always",
                    status={"image": each.get("image"), **container_status, "specImage": each.get("image")},
                )
            )
    return containers


def find_failure(scope: Scope, container: ContainerState, restart_policy: str) -> Cause | None:
    """Return the cause for a container that fails, or None if it only starts or is not ready.

    Args:
        scope: the object that is not ready.
        container: the container.
        restart_policy: restart policy of the pod.
    """
    reason = container.waiting_reason
    if reason in IMAGE_REASONS:
        waiting = as_mapping(dict(container.status), "state", "waiting")
        image = as_text(container.status.get("specImage")) or as_text(container.status.get("image"))
        events = container.filter_events(scope.reader.list_warnings(container.pod))
        return find_image_cause(scope, container.subject, container.name, image, waiting, events)
    if reason is not None and reason not in STARTING_REASONS:
        return _find_waiting_failure(scope, container, reason)
    if container.terminated:
        is_failed = container.terminated.get("exitCode") != 0
        ends_early = not container.is_init and restart_policy == "Always"
        return _find_termination(scope, container, container.terminated) if is_failed or ends_early else None
    if container.last_terminated and as_count(container.status.get("restartCount")) and not container.is_done:
        return _find_termination(scope, container, container.last_terminated)
    return None


def find_unready(scope: Scope, container: ContainerState) -> Cause:
    """Return the cause for a container that runs and is not ready."""
    events = container.filter_events(scope.reader.list_warnings(container.pod))
    event = next((each for each in events if each.get("reason") in ("Unhealthy", "FailedPostStartHook")), None)
    log = scope.reader.read_log(container.pod, container.name, is_previous=False)
    if event is None:
        message = "runs, but is not ready; no event gives a reason"
        return Cause(subject=container.subject, reason="ContainersNotReady", message=message, log=log)
    remedy = None
    if container.name == "linkerd-proxy":
        remedy = (
            "check linkerd-identity and linkerd-destination: without a certificate from the one, and policies "
            "from the other, no proxy is ready"
        )
    return Cause(
        subject=container.subject,
        reason=as_text(event.get("reason")),
        message=quote(event_message(event)),
        remedy=remedy or "check the log of the container, and of the services that it needs",
        log=log,
    )


def _find_waiting_failure(scope: Scope, container: ContainerState, reason: str) -> Cause:
    message = as_text(as_mapping(dict(container.status), "state", "waiting").get("message"))
    if reason == "CrashLoopBackOff":
        return _find_termination(scope, container, container.last_terminated)
    remedy = f"see {scope.kubectl(f'describe pod {object_name(container.pod)}')}"
    if missing := _MISSING_OBJECT.search(message):
        remedy = missing_object_remedy(scope, missing[1], missing[2])
    elif missing := _MISSING_KEY.search(message):
        remedy = f"add the key {quote_name(missing[1])} to {missing[2]} {quote_name(missing[3])}"
    elif "runAsNonRoot" in message or "non-root" in message:
        remedy = "use an image with a numeric user that is not root, or change the container's securityContext"
    elif _EXEC_FORMAT.search(message):
        remedy = "use an image for the architecture of the nodes"
    return Cause(subject=container.subject, reason=quote_name(reason), message=quote(message), remedy=remedy)


def _find_termination(scope: Scope, container: ContainerState, terminated: Mapping[str, Any]) -> Cause:
    is_current = terminated == container.terminated
    restarts = as_count(container.status.get("restartCount"))
    reason = as_text(terminated.get("reason"))
    is_out_of_memory = reason == "OOMKilled"
    log = scope.reader.read_log(container.pod, container.name, is_previous=not is_current)
    parts = [
        _format_exit(terminated),
        *([f"restarted {restarts} {'time' if restarts == 1 else 'times'}"] if restarts else []),
    ]
    own_message = as_text(terminated.get("message")).strip()
    message = "; ".join(parts) + (f": {own_message}" if own_message else "")
    return Cause(
        subject=container.subject,
        reason=quote_name(container.waiting_reason or reason or "Error"),
        message=quote(message),
        remedy=_termination_remedy(
            scope, container, is_out_of_memory=is_out_of_memory, log="\n".join(log) + own_message
        ),
        log=log,
    )


def _format_exit(terminated: Mapping[str, Any]) -> str:
    reason, code = as_text(terminated.get("reason")), terminated.get("exitCode")
    signal = as_count(terminated.get("signal"))
    if isinstance(code, int) and not signal and 128 < code < 160:
        signal = code - 128  # the shell's convention, which container runtimes follow
    details = [f"exit code {code}" if isinstance(code, int) else "no exit code"]
    if signal:
        details.append(_SIGNALS.get(signal, f"signal {signal}"))
    if reason and reason not in ("Error", "Completed"):
        details.append(quote_name(reason))
    return ", ".join(details)


def _termination_remedy(scope: Scope, container: ContainerState, *, is_out_of_memory: bool, log: str) -> str:
    if is_out_of_memory:
        return _memory_remedy(scope, container)
    if container.name in (_LINKERD_INIT, _CNI_VALIDATOR):
        return _init_remedy(scope, container.name, log)
    if _EXEC_FORMAT.search(log):
        return "use an image for the architecture of the nodes"
    pod = object_name(container.pod)
    previous = "" if container.terminated else " --previous"
    return f"fix the error in the log: {scope.kubectl(f'logs {pod} -c {container.label}{previous}')}"


def _memory_remedy(scope: Scope, container: ContainerState) -> str:
    settings = scope.settings
    if container.name == "linkerd-proxy":
        place = f"`{settings.linkerd('values.linkerd-control-plane')}` (proxy.resources.memory.limit)"
    elif settings.owner == "userlist" and not settings.chart:
        place = "`workloads[].userlist.memory`"
    elif settings.values:
        place = settings.values
    else:
        return "add memory to the node: the sample has no setting for a memory limit"
    return f"raise the memory limit of container {container.label} in {place}"


def _init_remedy(scope: Scope, name: str, log: str) -> str:
    """Return the remedy for Linkerd's init containers, which redirect the pod's traffic or check that.

    See https://linkerd.io/2/reference/proxy-init/iptables-modes/ and https://linkerd.io/2/features/cni/.
    """
    if name == _CNI_VALIDATOR:
        return (
            "check linkerd-cni on the pod's node: the plugin did not redirect the pod's traffic; then delete "
            "the pod, because the plugin handles only new pods"
        )
    mode = f"proxyInit.iptablesMode in `{scope.settings.linkerd('values.linkerd-control-plane')}`"
    cni = f"`{scope.settings.linkerd('cni')}: true`"
    if _IPTABLES_ERROR.search(log):
        return f"set {mode} to the iptables of the nodes (`legacy` or `nft`), or set {cni}"
    return f"allow the pod NET_ADMIN and NET_RAW, with which it redirects its traffic, or set {cni}"
