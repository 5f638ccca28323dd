"""Workloads of a namespace, and whether their pods have the proxies that the namespace requires.

A pod gets its proxy from Linkerd's injector when it is created. The injector also copies the `config.linkerd.io`
annotations of the namespace to the pod, except those that the pod's template has itself. So a change of the namespace
takes effect with new pods only.

Follows linkerd/linkerd2 `pkg/inject/inject.go` and `report.go`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.constants import INJECT_ANNOTATION, PROXY_CONFIG_PREFIX
from mesh.kube.json_access import as_count, as_mapping, as_mappings, as_text
from mesh.readiness.pods import is_finished, is_terminating
from mesh.readiness.revisions import format_selector

PROXY_CONTAINER = "linkerd-proxy"
ENABLED_VALUES = ("enabled", "ingress")
# The order of restarts.
WORKLOAD_KINDS: Mapping[str, str] = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
}
# The injector skips pods with these containers and init containers.
_OTHER_SIDECARS = ("istio-proxy",)
_SIDECAR_INITS = ("linkerd-init", "istio-init")


@dataclass(frozen=True, kw_only=True)
class ProxyRule:
    """The proxies that the pods of a namespace must have."""

    is_meshed: bool
    annotations: Mapping[str, str] = field(default_factory=dict)  # declared for the namespace
    former_annotations: Mapping[str, str] = field(default_factory=dict)  # declared before the update

    def accepts(self, pod: WorkloadPod, template: dict[str, Any]) -> bool:
        """Return whether a pod has the proxy that it must have.

        Args:
            pod: the pod.
            template: template of the pod.
        """
        if pod.has_proxy != self.is_meshed:
            return False
        # The injector does not configure a proxy that is part of the template.
        return not self.is_meshed or has_proxy(as_mapping(template, "spec")) or self._is_configured(pod, template)

    def _is_configured(self, pod: WorkloadPod, template: dict[str, Any]) -> bool:
        own = as_mapping(template, "metadata", "annotations")
        former = {key: value for key, value in _list_config(self.former_annotations) if key not in self.annotations}
        return all(
            key in own or pod.annotations.get(key) == value for key, value in _list_config(self.annotations)
        ) and all(key in own or pod.annotations.get(key) != value for key, value in former.items())


@dataclass(frozen=True, kw_only=True)
class WorkloadPod:
    """A pod that runs, or will run."""

    name: str
    has_proxy: bool
    annotations: Mapping[str, str]  # only settings of the proxy


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet with its pods."""

    live: dict[str, Any] = field(repr=False)  # with its kind
    pods: tuple[WorkloadPod, ...]

    @property
    def kind(self) -> str:
        """Return the kind."""
        return as_text(self.live.get("kind"))

    @property
    def name(self) -> str:
        """Return the name."""
        return as_text(as_mapping(self.live, "metadata").get("name"))

    @property
    def label(self) -> str:
        """Return kind and name for a message."""
        return f"{self.kind} {self.name}"

    @property
    def template(self) -> dict[str, Any]:
        """Return the template of the pods."""
        return as_mapping(self.live, "spec", "template")

    def list_wrong_pods(self, rule: ProxyRule) -> list[WorkloadPod]:
        """Return the pods without the proxy that they must have, or with one that they must not have."""
        return [pod for pod in self.pods if not rule.accepts(pod, self.template)]


@dataclass(frozen=True, kw_only=True)
class NamespaceWorkloads:
    """All workloads and pods of a namespace."""

    workloads: tuple[Workload, ...]  # in the order of restarts
    other_pods: Mapping[str, Sequence[WorkloadPod]]  # by their controller, such as `Job import`; empty without one


def read_workloads(client: KubeClient, namespace: str) -> NamespaceWorkloads:
    """Return the workloads of a namespace.

    Args:
        client: the cluster's client.
        namespace: name of the namespace.

    Raises:
        ApiStatusError, ApiUnreachableError, BadCredentialsError: they cannot be read.
    """
    live = [
        {"kind": kind, **each}
        for kind, plural in WORKLOAD_KINDS.items()
        for each in sorted(client.iterate_objects(_path(namespace, plural)), key=_name)
    ]
    pods = _list_pods(client, namespace)
    uids = {_uid(each) for each in live}
    return NamespaceWorkloads(
        workloads=tuple(Workload(live=each, pods=tuple(pods.by_uid.get(_uid(each), ()))) for each in live),
        other_pods={pods.controllers[uid]: each for uid, each in pods.by_uid.items() if uid not in uids},
    )


def read_workload(client: KubeClient, namespace: str, kind: str, name: str) -> Workload | None:
    """Return a workload, or None if it does not exist; raise as `read_workloads` does.

    Args:
        client: the cluster's client.
        namespace: name of the namespace.
        kind: kind of the workload.
        name: name of the workload.
    """
    live = client.request("GET", workload_path(namespace, kind, name))
    if live is None:
        return None
    pods = _list_pods(client, namespace, format_selector(as_mapping(live, "spec", "selector")))
    return Workload(live={"kind": kind, **live}, pods=tuple(pods.by_uid.get(_uid(live), ())))


def workload_path(namespace: str, kind: str, name: str) -> str:
    """Return the path of a workload."""
    return f"{_path(namespace, WORKLOAD_KINDS[kind])}/{quote(name, safe='')}"


def find_obstacle(workload: Workload, rule: ProxyRule) -> str | None:
    """Return why a restart does not give the pods of a workload the proxies that they must have, or None.

    Args:
        workload: the workload.
        rule: the proxies that the pods must have.
    """
    spec = as_mapping(workload.template, "spec")
    injection = as_mapping(workload.template, "metadata", "annotations").get(INJECT_ANNOTATION)
    is_enabled = injection in ENABLED_VALUES
    if injection is not None and is_enabled != rule.is_meshed:
        return f"its template has {INJECT_ANNOTATION}: {as_text(injection)}"
    if not rule.is_meshed and has_proxy(spec):
        return f"its template contains the container {PROXY_CONTAINER}"
    if rule.is_meshed and spec.get("hostNetwork") is True:
        return "its pods use the network of their nodes (hostNetwork)"
    if rule.is_meshed and (sidecar := _find_sidecar(spec)):
        return f"its template contains the container {sidecar}"
    return _find_rollout_obstacle(workload)


def _find_rollout_obstacle(workload: Workload) -> str | None:
    spec = as_mapping(workload.live, "spec")
    strategy = as_mapping(spec, "updateStrategy")
    if spec.get("paused") is True:
        return "its rollout is paused"
    if strategy.get("type") == "OnDelete":
        return "its update strategy is OnDelete"
    if partition := as_count(as_mapping(strategy, "rollingUpdate").get("partition")):
        return f"its update strategy has the partition {partition}"
    return None


def has_proxy(pod_spec: dict[str, Any]) -> bool:
    """Return whether a pod's spec contains a proxy, as a container or a native sidecar."""
    containers = [*as_mappings(pod_spec.get("containers")), *as_mappings(pod_spec.get("initContainers"))]
    return any(each.get("name") == PROXY_CONTAINER for each in containers)


def _find_sidecar(spec: dict[str, Any]) -> str:
    containers = [as_text(each.get("name")) for each in as_mappings(spec.get("containers"))]
    inits = [as_text(each.get("name")) for each in as_mappings(spec.get("initContainers"))]
    sidecars = [name for name in containers if name in _OTHER_SIDECARS]
    return next(iter(sidecars + [name for name in inits if name in _SIDECAR_INITS]), "")


@dataclass(frozen=True, kw_only=True)
class _Pods:
    by_uid: Mapping[str, Sequence[WorkloadPod]]  # by the UID of their controller, empty without one
    controllers: Mapping[str, str]  # kind and name, by UID


def _list_pods(client: KubeClient, namespace: str, selector: str = "") -> _Pods:
    by_uid: dict[str, list[WorkloadPod]] = {}
    controllers = {"": ""}
    for live in client.iterate_objects(f"/api/v1/namespaces/{quote(namespace, safe='')}/pods", selector):
        # Finished pods stay, and terminating pods are replaced by new ones.
        if not is_finished(live) and not is_terminating(live):
            uid, controller = _find_controller(live)
            controllers[uid] = controller
            by_uid.setdefault(uid, []).append(_read_pod(live))
    # Read after the pods, so that it contains their owners.
    for live in client.iterate_objects(_path(namespace, "replicasets"), selector, accept=METADATA_LIST_MEDIA_TYPE):
        uid, controller = _find_controller(live)
        if uid and _uid(live) in by_uid:
            controllers[uid] = controller
            by_uid.setdefault(uid, []).extend(by_uid.pop(_uid(live)))
    return _Pods(by_uid=by_uid, controllers=controllers)


def _read_pod(live: dict[str, Any]) -> WorkloadPod:
    annotations = as_mapping(live, "metadata", "annotations")
    return WorkloadPod(
        name=_name(live),
        has_proxy=has_proxy(as_mapping(live, "spec")),
        annotations=dict(_list_config(annotations)),
    )


def _find_controller(live: dict[str, Any]) -> tuple[str, str]:
    """Return the UID of an object's controller, and its kind and name; empty texts without one."""
    for owner in as_mappings(as_mapping(live, "metadata").get("ownerReferences")):
        if owner.get("controller") is True:
            return as_text(owner.get("uid")), f"{as_text(owner.get('kind'))} {as_text(owner.get('name'))}"
    return "", ""


def _list_config(annotations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in annotations.items() if key.startswith(PROXY_CONFIG_PREFIX))


def _path(namespace: str, plural: str) -> str:
    return f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}/{plural}"


def _name(live: dict[str, Any]) -> str:
    return as_text(as_mapping(live, "metadata").get("name"))


def _uid(live: dict[str, Any]) -> str:
    return as_text(as_mapping(live, "metadata").get("uid"))
