"""Status of a pod, from the states of its containers.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ContainerSnapshot:
    """The state of one container at one moment; times are in seconds since 1970."""

    name: str
    image: str
    is_init: bool = False
    is_sidecar: bool = False
    pid: int | None = None  # None unless the process runs
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int | None = None
    is_started: bool = False  # the startup probe succeeded
    is_ready: bool = False
    restarts: int = 0
    waiting_reason: str = ""
    waiting_message: str = ""


def pod_phase(states: Sequence[ContainerSnapshot], restart_policy: str) -> str:
    """Return the phase of a pod."""
    main = [state for state in states if not state.is_init]
    if restart_policy != "Always" and any(_has_failed_for_good(state, restart_policy) for state in states):
        return "Failed"
    if restart_policy != "Always" and all(state.exit_code is not None for state in main):
        codes = {state.exit_code for state in main}
        if codes == {0}:
            return "Succeeded"
        return "Failed" if restart_policy == "Never" else "Running"
    if any(state.pid or state.exit_code is not None for state in main):
        return "Running"
    return "Pending"


def is_initialized(states: Sequence[ContainerSnapshot]) -> bool:
    """Return whether all init containers have ended, and all sidecars have started."""
    return all(
        (state.is_started or state.exit_code is not None)
        if state.is_sidecar
        else state.exit_code == 0 and not state.pid
        for state in states
        if state.is_init
    )


def is_pod_ready(states: Sequence[ContainerSnapshot]) -> bool:
    """Return whether all containers that keep running are ready."""
    return is_initialized(states) and all(state.is_ready for state in states if not state.is_init or state.is_sidecar)


def pod_status(
    states: Sequence[ContainerSnapshot],
    *,
    restart_policy: str,
    address: str | None,
    node_address: str,
    previous: Mapping[str, Any],
    now: float,
) -> dict[str, Any]:
    """Return the status of a pod; conditions that did not change keep their times from the previous status."""
    phase = pod_phase(states, restart_policy)
    is_complete = phase in ("Succeeded", "Failed")
    ready = not is_complete and is_pod_ready(states)
    values = {
        "PodReadyToStartContainers": address is not None and not is_complete,
        "Initialized": is_initialized(states),
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": True,
    }
    reason = {"reason": "PodCompleted"} if is_complete else {}
    known = {condition["type"]: condition for condition in previous.get("conditions") or []}
    return {
        "phase": phase,
        "hostIP": node_address,
        "hostIPs": [{"ip": node_address}],
        **({"podIP": address, "podIPs": [{"ip": address}]} if address else {}),
        "startTime": previous.get("startTime") or format_time(now),
        "conditions": [_condition(kind, value, known.get(kind), reason, now) for kind, value in values.items()],
        "initContainerStatuses": [_container_status(state) for state in states if state.is_init],
        "containerStatuses": [_container_status(state) for state in states if not state.is_init],
    }


def format_time(seconds: float) -> str:
    """Return a time (seconds since 1970) in the format of Kubernetes."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _has_failed_for_good(state: ContainerSnapshot, restart_policy: str) -> bool:
    return restart_policy == "Never" and state.is_init and not state.is_sidecar and bool(state.exit_code)


def _condition(
    kind: str, value: bool, known: Mapping[str, Any] | None, reason: Mapping[str, str], now: float
) -> dict[str, Any]:
    status = "True" if value else "False"
    is_same = known is not None and known.get("status") == status
    return {
        "type": kind,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": known["lastTransitionTime"] if known and is_same else format_time(now),
        **({} if value else reason),
    }


def _container_status(state: ContainerSnapshot) -> dict[str, Any]:
    if state.pid:
        current: dict[str, Any] = {"running": {"startedAt": format_time(state.started_at)}}
    elif state.waiting_reason:
        current = {"waiting": {"reason": state.waiting_reason, "message": state.waiting_message}}
    elif state.exit_code is not None:
        current = {"terminated": _termination(state)}
    else:
        current = {"waiting": {"reason": "PodInitializing"}}
    has_ended_before = state.restarts and state.exit_code is not None and "terminated" not in current
    return {
        "name": state.name,
        "image": state.image,
        "imageID": f"lab://{state.image}",
        "containerID": f"lab://{state.pid or 0}",
        "ready": state.is_ready or (state.is_init and not state.is_sidecar and state.exit_code == 0),
        "started": state.is_started,
        "restartCount": state.restarts,
        "state": current,
        "lastState": {"terminated": _termination(state)} if has_ended_before else {},
    }


def _termination(state: ContainerSnapshot) -> dict[str, Any]:
    return {
        "exitCode": state.exit_code,
        "reason": "Error" if state.exit_code else "Completed",
        "startedAt": format_time(state.started_at),
        "finishedAt": format_time(state.finished_at),
    }
