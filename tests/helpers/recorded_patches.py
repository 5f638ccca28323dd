"""A fake API server that records server-side applies."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from mesh.kube import client as kube_client
from tests.helpers.fake_api_server import FakeApiServer, build_client, serve


@dataclass
class PatchedCluster(FakeApiServer):
    """A cluster that records the bodies of its patches, and answers them with one status."""

    patch_status: int = 200
    bodies: list[Any] = field(default_factory=list)

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        """Return status and body of the response to a request."""
        if not self.requests[-1].startswith("PATCH"):
            return super().answer(path, body)
        self.bodies.append(body)
        return self.patch_status, json.dumps({"kind": "Status", "message": "Apply failed with conflicts"}).encode()


@contextmanager
def serve_patched_cluster(
    monkeypatch: pytest.MonkeyPatch, path: str, body: Mapping[str, Any], field_manager: str
) -> Iterator[PatchedCluster]:
    """Serve a cluster with one object, and restore the limit of tracebacks, which a provider changes.

    Args:
        monkeypatch: the test's patches, by which all clients lead to the cluster.
        path: path of the object.
        body: the object.
        field_manager: field manager of the patches.
    """
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    apply_path = f"{path}?fieldManager={field_manager}"
    # The fake API server keeps the query of these paths.
    cluster = PatchedCluster(objects={path: dict(body), apply_path: {}, f"{apply_path}&force=true": {}})
    with serve(cluster):
        monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client(cluster.server))
        yield cluster
