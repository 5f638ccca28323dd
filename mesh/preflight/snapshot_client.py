"""Client that reads each object of a cluster once, so that all checks judge the same state."""

from __future__ import annotations

from typing import Any

from mesh.kube.client import KubeClient
from mesh.kube.transport import JSON_MEDIA_TYPE


class SnapshotClient(KubeClient):
    """A client for the checks of one cluster; an object that could not be read is read again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._objects: dict[tuple[str, str], dict[str, Any] | None] = {}

    def get(self, path: str, subject: str, accept: str = JSON_MEDIA_TYPE) -> dict[str, Any] | None:
        """Return an object or a list as of its first reading, or None; raise as `KubeClient.get` does."""
        key = (path, accept)
        if key not in self._objects:
            self._objects[key] = super().get(path, subject, accept)
        return self._objects[key]
