"""The objects that an update of ours has made in a cluster, as they could be applied again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.environment import Environment
from benchmarks.leftovers import Kind, listed

# The field managers of what the Kubernetes provider applies, and of what its Helm installs.
_HELM = "pulumi-resource-kubernetes"
# What an API server or a controller fills in.
_OWN_METADATA = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
_ASSIGNED = ("clusterIP", "clusterIPs", "healthCheckNodePort")
_TOKEN = "kubernetes.io/service-account-token"


def made(ground: Environment, cluster: str, manager: str) -> list[dict[str, Any]]:
    """What an update has made: for each object the path to apply it to, and the object.

    Args:
        ground: the lab.
        cluster: the cluster.
        manager: the field manager of the stack's own objects.
    """
    return [
        {"path": _path(kind, item), "object": _plain(kind, item)}
        for kind, item in listed(ground.api(cluster))
        if _managers(item) & {_HELM, manager}
    ]


def in_namespace(found: list[dict[str, Any]], namespace: str) -> dict[str, Any]:
    """A List of a namespace and what is in it, for kubectl."""
    items = [each["object"] for each in found]
    own = [
        item
        for item in items
        if item["metadata"].get("namespace") == namespace
        or (item["kind"] == "Namespace" and item["metadata"]["name"] == namespace)
    ]
    return {"apiVersion": "v1", "kind": "List", "items": sorted(own, key=lambda item: item["kind"] != "Namespace")}


def _managers(item: Mapping[str, Any]) -> set[str]:
    return {entry["manager"] for entry in item["metadata"].get("managedFields", ())}


def _path(kind: Kind, item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    return f"{kind.collection.format(namespace=metadata.get('namespace', ''))}/{metadata['name']}"


def _plain(kind: Kind, item: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _OWN_METADATA}
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop("kubernetes.io/service-account.uid", None)
    found = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        **{key: value for key, value in item.items() if key not in {"apiVersion", "kind", "status"}},
        "metadata": {**metadata, "annotations": annotations},
    }
    if item.get("type") == _TOKEN:
        found.pop("data", None)
    if kind.kind == "Service":
        spec = {key: value for key, value in item["spec"].items() if key not in _ASSIGNED or value == "None"}
        if item["spec"].get("clusterIP") == "None":
            spec.pop("clusterIPs", None)
        ports = [{key: value for key, value in port.items() if key != "nodePort"} for port in spec.get("ports", ())]
        found["spec"] = {**spec, "ports": ports}
    return found
