"""Live requests while an `up` is killed between the two halves of a change, and while a gateway's pods end."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

from tests.helpers.changes_under_load import EXPORTED_HELLOWORLD, MIRROR_CLIENT, Change, mesh_config, sample_changes
from tests.helpers.dataplane_programs import REQUIRES_DATAPLANE
from tests.helpers.edge_releases import REQUIRES_EDGE_RELEASES
from tests.helpers.fault_injection import run_with_fault
from tests.helpers.pulumi_kill import KillTarget, kill
from tests.helpers.traffic import MeshUnderLoad, read_pods
from tests.helpers.update_progress import Moment

pytestmark = [pytest.mark.lab("west", "east", minutes=8), REQUIRES_DATAPLANE, REQUIRES_EDGE_RELEASES]

_NAMESPACE, _GATEWAY_SELECTOR = "linkerd-multicluster", "app=linkerd-gateway"
_ROLLOUT_TIMEOUT_S = 60
_KILLED_CHANGES = {
    "split added with its export",
    "split removed with its export",
    "version of a workload changed",
    "policy added",
    "policy removed",
    "profile as HTTPRoutes added",
    "profile as HTTPRoutes removed",
}


@pytest.mark.parametrize("change", [each for each in sample_changes() if each.name in _KILLED_CHANGES], ids=str)
def test_killed_up_and_its_repetition_lose_no_request(mesh: MeshUnderLoad, change: Change) -> None:
    def kill_and_repeat() -> None:
        with mesh.stack.engine() as engine:
            run = run_with_fault(
                mesh.stack, engine.up_command(), fault=partial(kill, target=KillTarget.EVERYTHING), moment=moment
            )
        assert run.was_fault_injected, "the update ended before the kill"
        mesh.stack.up()

    mesh.apply(change.before)
    mesh.configure(change.after)
    # Reached_s has no effect without a delay.
    moment = Moment(resource_count=max(1, len(mesh.stack.preview_changes()) // 2), reached_s=1, delay_s=0)
    mesh.disturb(f"{change.name}; killed and repeated", kill_and_repeat, change.clients)


@pytest.mark.parametrize(("replicas", "allowed_loss"), [(2, 0), (1, None)])
def test_deleted_gateway_pod_loses_no_request_of_two(
    mesh: MeshUnderLoad, replicas: int, allowed_loss: int | None
) -> None:
    mesh.apply(_gateway_config(replicas))

    mesh.disturb(
        f"gateway pod deleted, replicas: {replicas}",
        lambda: _end_gateway_pod(mesh, "delete", "pod"),
        [MIRROR_CLIENT],
        allowed_loss=allowed_loss,
    )


@pytest.mark.parametrize("replicas", [2, 1])
def test_loss_by_crash_of_gateway_is_reported(mesh: MeshUnderLoad, replicas: int) -> None:
    mesh.apply(_gateway_config(replicas))

    # Requests that the crashed proxy has read cannot be saved by another one.
    mesh.disturb(
        f"gateway pod crashed, replicas: {replicas}",
        lambda: _end_gateway_pod(mesh, "exec", command=("-c", "linkerd-proxy", "--", "sh", "-c", "kill -KILL -1")),
        [MIRROR_CLIENT],
        allowed_loss=None,
    )


def _gateway_config(replicas: int) -> dict[str, Any]:
    values = {"linkerd-multicluster": {"gateway": {"replicas": replicas}}}
    return {
        **mesh_config(helloworld=EXPORTED_HELLOWORLD),
        "clusters": {"west": {}, "east": {"linkerd": {"values": values}}},
    }


def _end_gateway_pod(mesh: MeshUnderLoad, verb: str, *kind: str, command: tuple[str, ...] = ()) -> None:
    """End a pod of east's gateway, and wait until all its pods are ready again."""
    pod = read_pods(mesh.stack, "east", _NAMESPACE, _GATEWAY_SELECTOR)[0]
    kubectl = ("kubectl", "--context", mesh.stack.contexts["east"], "-n", _NAMESPACE)
    # A crash ends the command too.
    mesh.stack.run(*kubectl, verb, *kind, pod, *command, check=not command)
    time.sleep(1)
    mesh.stack.run(*kubectl, "rollout", "status", "deployment/linkerd-gateway", f"--timeout={_ROLLOUT_TIMEOUT_S}s")
