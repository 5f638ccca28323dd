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
from tests.helpers.stack_under_test import wait_until
from tests.helpers.traffic import MeshUnderLoad
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
    # Without a delay, `reached_s` has no effect.
    moment = Moment(resource_count=max(1, len(mesh.stack.preview_changes()) // 2), reached_s=1, delay_s=0)
    mesh.disturb(f"{change.name}; killed and repeated", kill_and_repeat, change.clients)


@pytest.mark.parametrize(("replicas", "allowed_loss"), [(2, 0), (1, None)])
def test_deleted_gateway_pod_leaves_requests_to_others(
    mesh: MeshUnderLoad, replicas: int, allowed_loss: int | None
) -> None:
    mesh.apply(_gateway_config(replicas))

    mesh.disturb(
        f"gateway pod deleted, replicas: {replicas}",
        lambda: _delete_gateway_pod(mesh),
        [MIRROR_CLIENT],
        # The requests to the only pod are lost.
        allowed_loss=allowed_loss,
    )


@pytest.mark.parametrize("replicas", [2, 1])
def test_mirror_recovers_from_crash_of_gateway(mesh: MeshUnderLoad, replicas: int) -> None:
    mesh.apply(_gateway_config(replicas))

    # Requests that the crashed proxy has read cannot be saved by another one, so the loss is only reported.
    mesh.disturb(
        f"gateway pod crashed, replicas: {replicas}",
        lambda: _crash_gateway_pod(mesh),
        [MIRROR_CLIENT],
        allowed_loss=None,
    )

    with mesh.load("after the crash", [MIRROR_CLIENT]) as load:
        pass
    assert [each.lost_count for each in load.report("after the crash", 0)] == [0, 0]


def _gateway_config(replicas: int) -> dict[str, Any]:
    values = {"linkerd-multicluster": {"gateway": {"replicas": replicas}}}
    return {
        **mesh_config(helloworld=EXPORTED_HELLOWORLD),
        "clusters": {"west": {}, "east": {"linkerd": {"values": values}}},
    }


def _delete_gateway_pod(mesh: MeshUnderLoad) -> None:
    """Delete a pod of east's gateway, and wait until all its pods are ready again."""
    context, pod = mesh.stack.contexts["east"], _list_gateway_pods(mesh)[0]["metadata"]["name"]
    mesh.stack.kubectl(context, "-n", _NAMESPACE, "delete", "pod", pod)
    time.sleep(1)  # the Deployment's status follows the deletion
    _wait_for_gateway(mesh)


def _crash_gateway_pod(mesh: MeshUnderLoad) -> None:
    """Kill the processes of a pod of east's gateway, and wait until all its pods are ready again."""
    context, pod = mesh.stack.contexts["east"], _list_gateway_pods(mesh)[0]
    name, former = pod["metadata"]["name"], _count_restarts(pod)
    command = ("-c", "linkerd-proxy", "--", "sh", "-c", "kill -KILL -1")
    # The crash ends the command too.
    mesh.stack.run("kubectl", "--context", context, "-n", _NAMESPACE, "exec", name, *command, check=False)

    def has_restarted() -> bool:
        return _count_restarts(mesh.stack.get_object(context, "pod", name, _NAMESPACE)) > former

    assert wait_until(has_restarted), f"{name} did not restart"
    _wait_for_gateway(mesh)


def _list_gateway_pods(mesh: MeshUnderLoad) -> list[dict[str, Any]]:
    return mesh.stack.list_objects(mesh.stack.contexts["east"], "pods", "-n", _NAMESPACE, "-l", _GATEWAY_SELECTOR)


def _count_restarts(pod: dict[str, Any]) -> int:
    status = pod["status"]
    entries = (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
    return sum(entry["restartCount"] for entry in entries)


def _wait_for_gateway(mesh: MeshUnderLoad) -> None:
    options = ("rollout", "status", "deployment/linkerd-gateway", f"--timeout={_ROLLOUT_TIMEOUT_S}s")
    mesh.stack.kubectl(mesh.stack.contexts["east"], "-n", _NAMESPACE, *options)
