"""Objects that are not ready, with the statuses and events of real clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mesh.kube.client import KubeClient
from mesh.readiness.diagnosis import Diagnosis, RemedySettings, diagnose
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve

NAMESPACE = "linkerd"
IMAGE = "cr.l5d.io/linkerd/policy-controller:stable-2.14.10"
OWNER_UID = "9d7c5a10-0000-4000-8000-000000000001"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
SETTINGS = RemedySettings(cluster="west", owner="linkerd-control-plane", chart="linkerd-control-plane")


def workload(kind: str = "Deployment", name: str = "linkerd-destination", *, replicas: int = 1, **status: Any) -> Any:
    """Return a workload that is not ready."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": OWNER_UID, "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}},
        "status": {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, **status},
    }


def job(**status: Any) -> Any:
    """Return a Job that is not complete."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "heartbeat", "namespace": NAMESPACE, "uid": OWNER_UID, "generation": 1},
        "spec": {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": OWNER_UID}}},
        "status": status,
    }


def replica_set(revision: int = 1, template_hash: str = "7d9c8f5b6d", name: str = "linkerd-destination") -> Any:
    """Return the metadata of a Deployment's ReplicaSet."""
    return {
        "metadata": {
            "name": f"{name}-{template_hash}",
            "namespace": NAMESPACE,
            "uid": f"replica-set-{revision}",
            "labels": {"app": name, "pod-template-hash": template_hash},
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [{"kind": "Deployment", "name": name, "uid": OWNER_UID}],
        }
    }


def pod(
    *statuses: Mapping[str, Any],
    init: Sequence[Mapping[str, Any]] = (),
    name: str = "linkerd-destination-7d9c8f5b6d-x2x4z",
    node: str | None = "node-1",
    template_hash: str = "7d9c8f5b6d",
    **status: Any,
) -> Any:
    """Return a pod with the statuses of its containers, such as those of `waiting` and `running`."""

    def spec_of(container: Mapping[str, Any]) -> dict[str, Any]:
        policy = {"restartPolicy": "Always"} if container.get("isSidecar") else {}
        return {"name": container["name"], "image": container.get("image", IMAGE), **policy}

    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-of-{name}",
            "labels": {"app": "linkerd-destination", "pod-template-hash": template_hash},
        },
        "spec": {
            **({"nodeName": node} if node else {}),
            "initContainers": [spec_of(each) for each in init],
            "containers": [spec_of(each) for each in statuses],
        },
        "status": {
            "phase": "Pending",
            "podIP": "10.42.0.7",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
            "initContainerStatuses": [dict(each) for each in init if "state" in each],
            "containerStatuses": [dict(each) for each in statuses if "state" in each],
            **status,
        },
    }


def waiting(reason: str, message: str = "", name: str = "policy", **rest: Any) -> dict[str, Any]:
    """Return the status of a container that waits."""
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {"name": name, "image": IMAGE, "ready": False, "started": False, "restartCount": 0, "state": state, **rest}


def running(name: str = "policy", *, ready: bool = False, **rest: Any) -> dict[str, Any]:
    """Return the status of a container that runs."""
    state = {"running": {"startedAt": "2026-11-27T02:00:00Z"}}
    return {"name": name, "image": IMAGE, "ready": ready, "started": True, "restartCount": 0, "state": state, **rest}


def terminated(exit_code: int, reason: str = "Error", **rest: Any) -> dict[str, Any]:
    """Return the state of a container that ended."""
    return {"terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": "2026-11-27T02:00:00Z", **rest}}


def crashing(exit_code: int, reason: str = "Error", name: str = "policy", **rest: Any) -> dict[str, Any]:
    """Return the status of a container that the kubelet restarts with a delay."""
    message = f"back-off 40s restarting failed container={name} pod=linkerd-destination-7d9c8f5b6d-x2x4z_linkerd(uid)"
    ended = terminated(exit_code, reason, **rest)
    return waiting("CrashLoopBackOff", message, name, restartCount=3, lastState=ended)


def unscheduled(message: str, reason: str = "Unschedulable") -> Any:
    """Return a pod that has no node."""
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return pod({"name": "policy"}, node=None, conditions=[condition])


def event(reason: str, message: str, uid: str, *, container: str = "", kind: str = "Warning", minute: int = 0) -> Any:
    """Return an event of the object with this UID."""
    reference = {"uid": uid, **({"fieldPath": f"spec.containers{{{container}}}"} if container else {})}
    time = f"2026-11-27T02:{minute:02d}:00Z"
    return {
        "metadata": {"name": f"{uid}.{minute}", "creationTimestamp": "2026-11-27T01:00:00Z"},
        "type": kind,
        "reason": reason,
        "message": message,
        "involvedObject": reference,
        "lastTimestamp": time,
        "count": minute + 1,
    }


def pod_event(reason: str, message: str, container: str = "", **rest: Any) -> Any:
    """Return an event of the pod that `pod` returns."""
    return event(reason, message, "uid-of-linkerd-destination-7d9c8f5b6d-x2x4z", container=container, **rest)


def build_api_server(
    pods: Sequence[Any] = (),
    events: Sequence[Any] = (),
    replica_sets: Sequence[Any] = (),
    *,
    further: Mapping[str, Any] | None = None,
) -> FakeApiServer:
    """Return an API server with these objects, and further ones by their paths."""
    return FakeApiServer(
        objects={
            PODS: {"items": list(pods)},
            EVENTS: {"items": list(events)},
            REPLICA_SETS: {"items": list(replica_sets)},
            "/api/v1/nodes/node-1": {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            **(further or {}),
        }
    )


@contextmanager
def connect_to(api_server: FakeApiServer) -> Iterator[KubeClient]:
    """Serve the API until exit, and yield a client for it."""
    with serve(api_server):
        yield build_kube_client(api_server.server)


def diagnose_on(
    api_server: FakeApiServer, *objects: Any, settings: RemedySettings = SETTINGS, with_logs: bool = True
) -> list[Diagnosis]:
    """Return the diagnoses of objects on an API server."""
    with connect_to(api_server) as client:
        return diagnose(client, objects, settings, with_logs=with_logs)


def diagnose_pod(live_pod: Any, *events: Any, settings: RemedySettings = SETTINGS) -> Diagnosis:
    """Return the diagnosis of a Deployment with one pod."""
    [diagnosis] = diagnose_on(build_api_server([live_pod], events), workload(), settings=settings)
    return diagnosis


def set_container_statuses(client: KubeClient, pods_path: str, selector: str, *statuses: Mapping[str, Any]) -> None:
    """Overwrite the statuses of the containers of pods that kwok started, so that the pods are not ready.

    Args:
        client: a client of the cluster.
        pods_path: path of the pods.
        selector: labels of the pods.
        statuses: one per container, such as those of `waiting` and `crashing`.
    """
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
    ]
    body = {
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "containerStatuses": [{"imageID": "", **status} for status in statuses],
        }
    }
    for each in client.list_objects(pods_path, selector):
        client.request("PATCH", f"{pods_path}/{each['metadata']['name']}/status", body=body)
