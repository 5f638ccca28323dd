"""Objects of a stack in a cluster, in a form that can be applied again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.environment import Environment
from benchmarks.leftovers import Kind, list_objects

# The field manager of Helm inside the Kubernetes provider.
_HELM_MANAGER = "pulumi-resource-kubernetes"
# Fields that the API server or a controller sets.
_OWN_METADATA = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
_ASSIGNED = ("clusterIP", "clusterIPs", "healthCheckNodePort")
_TOKEN = "kubernetes.io/service-account-token"


def list_stack_objects(lab: Environment, cluster: str, manager: str) -> list[dict[str, Any]]:
    """Return the stack's objects in a cluster, each with the path to apply it to.

    Args:
        lab: the lab.
        cluster: the cluster.
        manager: the field manager of the stack's own objects.
    """
    return [
        {"path": _path(kind, item), "object": _strip_assigned(kind, item)}
        for kind, item in list_objects(lab.api(cluster))
        if _field_managers(item) & {_HELM_MANAGER, manager}
    ]


def select_namespace(objects: list[dict[str, Any]], namespace: str) -> dict[str, Any]:
    """Return a namespace and its objects as a List for kubectl."""
    items = [each["object"] for each in objects]
    own = [
        item
        for item in items
        if item["metadata"].get("namespace") == namespace
        or (item["kind"] == "Namespace" and item["metadata"]["name"] == namespace)
    ]
    return {"apiVersion": "v1", "kind": "List", "items": sorted(own, key=lambda item: item["kind"] != "Namespace")}


def _field_managers(item: Mapping[str, Any]) -> set[str]:
    return {entry["manager"] for entry in item["metadata"].get("managedFields", ())}


def _path(kind: Kind, item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    return f"{kind.collection.format(namespace=metadata.get('namespace', ''))}/{metadata['name']}"


def _strip_assigned(kind: Kind, item: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _OWN_METADATA}
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop("kubernetes.io/service-account.uid", None)
    manifest = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        **{key: value for key, value in item.items() if key not in {"apiVersion", "kind", "status"}},
        "metadata": {**metadata, "annotations": annotations},
    }
    if item.get("type") == _TOKEN:
        manifest.pop("data", None)
    if kind.kind == "Service":
        spec = {key: value for key, value in item["spec"].items() if key not in _ASSIGNED or value == "None"}
        if item["spec"].get("clusterIP") == "None":
            spec.pop("clusterIPs", None)
        ports = [{key: value for key, value in port.items() if key != "nodePort"} for port in spec.get("ports", ())]
        manifest["spec"] = {**spec, "ports": ports}
    return manifest
