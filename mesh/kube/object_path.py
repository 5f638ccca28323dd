"""Paths of objects in the API, from their kinds and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mesh.kube.client import KubeClient


@dataclass(frozen=True, kw_only=True)
class ObjectPath:
    """The path of an object in the API, in two parts."""

    collection: str  # path of all objects of the kind
    name: str

    @property
    def path(self) -> str:
        """Return the path of the object."""
        return f"{self.collection}/{quote(self.name, safe='')}"


class ObjectLocator:
    """Paths of objects in one cluster; each API version is discovered once.

    Args:
        client: the cluster's client.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        # Plural name, and whether objects are in namespaces, by API version and kind.
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def find(self, body: Mapping[str, Any], namespace: str = "default") -> ObjectPath | None:
        """Return the path of an object, or None if the API server does not serve its kind; raise as `client.get` does.

        Args:
            body: the object.
            namespace: namespace to use if the object has none.
        """
        version, metadata = str(body["apiVersion"]), body["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._kinds:
            resources = (self._client.get(root, f"which kinds {version} has") or {}).get("resources") or ()
            self._kinds[version] = {
                each["kind"]: (each["name"], bool(each["namespaced"])) for each in resources if "/" not in each["name"]
            }
        if body["kind"] not in self._kinds[version]:
            return None
        plural, is_namespaced = self._kinds[version][body["kind"]]
        quoted_namespace = quote(str(metadata.get("namespace") or namespace), safe="")
        in_namespace = f"/namespaces/{quoted_namespace}" if is_namespaced else ""
        return ObjectPath(collection=f"{root}{in_namespace}/{plural}", name=str(metadata["name"]))


def object_key(body: Mapping[str, Any], namespace: str = "") -> tuple[str, str, str, str]:
    """Return API group, kind, namespace and name of an object, which identify it in a cluster.

    Args:
        body: the object.
        namespace: namespace to use if the object has none, also for a cluster-scoped object.
    """
    group = str(body["apiVersion"]).rpartition("/")[0]
    metadata = body["metadata"]
    return group, str(body["kind"]), str(metadata.get("namespace") or namespace), str(metadata.get("name"))
