"""A fake API server with workloads whose pods are re-created at each restart."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh.kube.constants import PROXY_CONFIG_PREFIX
from mesh.proxied_workloads import PROXY_CONTAINER, WORKLOAD_KINDS
from tests.helpers.fake_api_server import FakeApiServer

NAMESPACE = "shop"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
PROXY = {"name": PROXY_CONTAINER, "image": "cr.l5d.io/linkerd/proxy:stable-2.14.10"}


def build_pod(
    name: str,
    owner: Mapping[str, Any] | None = None,
    *,
    proxy: str = "",
    annotations: Mapping[str, str] | None = None,
    **status: Any,
) -> dict[str, Any]:
    """Return a pod.

    Args:
        name: name of the pod.
        owner: the object that controls the pod; None: no controller.
        proxy: field of the proxy, `containers` or `initContainers`; empty: none.
        annotations: annotations of the pod.
        status: status of the pod.
    """
    containers: dict[str, list[dict[str, str]]] = {"containers": [{"name": "main"}], "initContainers": []}
    if proxy:
        containers[proxy].append(PROXY)
    metadata = {"name": name, "uid": f"uid-{name}", "annotations": dict(annotations or {}), **_references(owner)}
    return {"metadata": metadata, "spec": containers, "status": {"phase": "Running", **status}}


def build_live_workload(
    kind: str,
    name: str,
    *,
    annotations: Mapping[str, str] | None = None,
    pod_spec: Mapping[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Return a workload with one pod that is ready."""
    template = {
        "metadata": {"labels": {"app": name}, "annotations": dict(annotations or {})},
        "spec": {"containers": [{"name": "main"}], **(pod_spec or {})},
    }
    count = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}
    nodes = {"desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1, "numberReady": 1}
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
        "status": {"observedGeneration": 1, **count, **nodes},
    }


def _references(owner: Mapping[str, Any] | None) -> dict[str, Any]:
    if owner is None:
        return {}
    reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    return {"ownerReferences": [{**reference, "controller": True}]}


@dataclass
class WorkloadServer(FakeApiServer):
    """API server of one namespace: a restart of a workload replaces its pod at once."""

    namespace_annotations: dict[str, str] = field(default_factory=dict)
    injects: bool = True  # whether new pods get a proxy
    restarts: list[str] = field(default_factory=list)
    unready: set[str] = field(default_factory=set)  # workloads whose next pod is not ready
    _pods: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by workload

    def add(self, live: dict[str, Any], *, proxy: str = "", annotations: Mapping[str, str] | None = None) -> None:
        """Add a workload with one pod; see `build_pod`."""
        name, kind = live["metadata"]["name"], live["kind"]
        self.objects[f"{APPS}/{WORKLOAD_KINDS[kind]}/{name}"] = live
        owner = live
        if kind == "Deployment":
            metadata = {"name": f"{name}-1", "uid": f"uid-{name}-1", **_references(live)}
            owner = {"kind": "ReplicaSet", "metadata": metadata}
            self.objects[f"{APPS}/replicasets/{name}-1"] = owner
        self._pods[name] = [build_pod(f"{name}-old", owner, proxy=proxy, annotations=annotations)]

    def add_pod(self, pod: dict[str, Any]) -> None:
        """Add a pod of another controller, or of none."""
        self._pods.setdefault("", []).append(pod)

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        """Return lists of the objects, and restart a workload at a patch."""
        if self.requests[-1].startswith("PATCH "):
            self._restart(path, body)
        plural = path.rpartition("/")[2]
        if path == PODS:
            self.objects[path] = {"items": [pod for pods in self._pods.values() for pod in pods]}
        elif path == f"{APPS}/{plural}":
            items = [live for key, live in self.objects.items() if key.startswith(f"{path}/")]
            self.objects[path] = {"metadata": {"resourceVersion": "1"}, "items": items}
        return super().answer(path, body)

    def _restart(self, path: str, body: dict[str, Any]) -> None:
        live = self.objects[path]
        name = live["metadata"]["name"]
        self.restarts.append(name)
        template = live["spec"]["template"]
        template["metadata"]["annotations"].update(body["spec"]["template"]["metadata"]["annotations"])
        pod = copy.deepcopy(self._pods[name][0])
        pod["metadata"]["name"] = f"{name}-new"
        config = {k: v for k, v in self.namespace_annotations.items() if k.startswith(PROXY_CONFIG_PREFIX)}
        pod["metadata"]["annotations"] = {**config, **template["metadata"]["annotations"]}
        pod["spec"] = {"containers": [{"name": "main"}, *([PROXY] if self.injects else [])]}
        self._pods[name] = [pod]
        if name in self.unready:
            live["status"] |= {"availableReplicas": 0, "readyReplicas": 0, "numberAvailable": 0}
