"""Deletion of an exported service's mirrors that no controller deletes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from components.dynamic_providers import ExportCleanupProvider
from components.services import export_cleanup
from components.services.export_cleanup import delete_mirror
from mesh.kube import client as kube_client
from mesh.kube.connection import Access
from mesh.kube.errors import ApiStatusError
from tests.helpers import kubeconfigs
from tests.helpers.fake_api_server import FakeApiServer, build_client, serve

MIRROR_PATH = "/api/v1/namespaces/test/services/podinfo-east"
PROPS = {
    "service": "podinfo",
    "namespace": "test",
    "target": "east",
    "targetContext": "ctx-east",
    "targetKubeconfig": "",
    "source": "west",
    "sourceContext": "ctx-west",
    "sourceKubeconfig": "text",
}
LONG_TIMEOUT_S, EXPIRED_TIMEOUT_S = 10.0, -1.0


def build_service(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "podinfo-east", "namespace": "test", "labels": labels or None}}


MIRROR_OF_EAST = build_service(
    **{"mirror.linkerd.io/cluster-name": "east", "mirror.linkerd.io/mirrored-service": "true"}
)


@dataclass
class MirroringCluster(FakeApiServer):
    """A source cluster whose controller deletes the mirror after a number of reads."""

    deleted_after_reads: int | None = None

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if self.requests[-1] == f"DELETE {MIRROR_PATH}" and path in self.objects and path not in self.statuses:
            return 200, json.dumps(self.objects.pop(path)).encode()
        if (
            self.deleted_after_reads is not None
            and self.requests.count(f"GET {MIRROR_PATH}") > self.deleted_after_reads
        ):
            self.objects.pop(MIRROR_PATH, None)
        return super().answer(path, body)


@contextmanager
def serve_source(monkeypatch: pytest.MonkeyPatch, cluster: MirroringCluster) -> Iterator[MirroringCluster]:
    with serve(cluster):
        monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client(cluster.server))
        yield cluster


def delete_with_timeout(seconds: float) -> None:
    delete_mirror(Access(context="west"), "test", "podinfo", "east", time.monotonic() + seconds)


def test_absent_mirror_is_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_source(monkeypatch, MirroringCluster()) as west:
        delete_with_timeout(LONG_TIMEOUT_S)

    assert west.requests == [f"GET {MIRROR_PATH}"]


PODS_PATH = "/api/v1/namespaces/linkerd-multicluster/pods"


def build_pod(**metadata: str) -> dict[str, Any]:
    return {"metadata": {"name": "controller-east-1", **metadata}}


def test_mirror_is_left_to_its_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {MIRROR_PATH: MIRROR_OF_EAST, PODS_PATH: {"items": [build_pod()]}}
    with serve_source(monkeypatch, MirroringCluster(objects=objects, deleted_after_reads=1)) as west:
        delete_with_timeout(LONG_TIMEOUT_S)

    assert west.requests == [f"GET {MIRROR_PATH}", f"GET {PODS_PATH}", f"GET {MIRROR_PATH}"]


@pytest.mark.parametrize(
    "pods", [[], [build_pod(deletionTimestamp="2026-11-28T03:00:00Z")]], ids=["none", "terminating"]
)
def test_mirror_without_controller_is_deleted_at_once(
    monkeypatch: pytest.MonkeyPatch, pods: list[dict[str, Any]]
) -> None:
    objects = {MIRROR_PATH: MIRROR_OF_EAST, PODS_PATH: {"items": pods}}
    with serve_source(monkeypatch, MirroringCluster(objects=objects)) as west:
        delete_with_timeout(LONG_TIMEOUT_S)

    assert west.requests == [f"GET {MIRROR_PATH}", f"GET {PODS_PATH}", f"DELETE {MIRROR_PATH}"]


def test_remaining_mirror_is_deleted_after_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_source(monkeypatch, MirroringCluster(objects={MIRROR_PATH: MIRROR_OF_EAST})) as west:
        delete_with_timeout(EXPIRED_TIMEOUT_S)

    assert west.requests == [f"GET {MIRROR_PATH}", f"DELETE {MIRROR_PATH}"]
    assert MIRROR_PATH not in west.objects


@pytest.mark.parametrize("labels", [{}, {"mirror.linkerd.io/cluster-name": "north"}], ids=["none", "of-another-target"])
def test_foreign_service_of_same_name_is_kept(monkeypatch: pytest.MonkeyPatch, labels: dict[str, str]) -> None:
    with serve_source(monkeypatch, MirroringCluster(objects={MIRROR_PATH: build_service(**labels)})) as west:
        delete_with_timeout(EXPIRED_TIMEOUT_S)

    assert west.requests == [f"GET {MIRROR_PATH}"]
    assert MIRROR_PATH in west.objects


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_forbidden_request_is_reported(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    source_cluster = MirroringCluster(objects={MIRROR_PATH: MIRROR_OF_EAST})
    answer = source_cluster.answer

    def refuse(path: str, body: Any) -> tuple[int, bytes]:
        return (403, b"{}") if source_cluster.requests[-1].startswith(verb) else answer(path, body)

    monkeypatch.setattr(source_cluster, "answer", refuse)

    with serve_source(monkeypatch, source_cluster), pytest.raises(ApiStatusError, match="403"):
        delete_with_timeout(EXPIRED_TIMEOUT_S)


def test_unreachable_source_is_left_to_its_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(MirroringCluster()) as west:
        server = west.server
    accesses: list[Access] = []

    def connect(access: Access) -> Any:
        accesses.append(access)
        return build_client(server)

    monkeypatch.setattr(kube_client, "build_api_client", connect)

    delete_with_timeout(LONG_TIMEOUT_S)

    assert accesses == [Access(context="west")]
    assert west.requests == []


@pytest.mark.thorough  # waits for timeouts
def test_unresponsive_source_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_cleanup, "REQUEST_TIMEOUT_S", 0.1)
    with serve_source(monkeypatch, MirroringCluster(hanging_paths=(MIRROR_PATH,))) as west:
        delete_with_timeout(LONG_TIMEOUT_S)

    assert set(west.requests) == {f"GET {MIRROR_PATH}"}, "retried, and nothing deleted"


@pytest.mark.parametrize(
    "kubeconfig", ["", kubeconfigs.build_kubeconfig({"east": {"server": "https://east.example.com"}})]
)
def test_source_missing_from_kubeconfig_is_skipped(monkeypatch: pytest.MonkeyPatch, kubeconfig: str) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")

    delete_mirror(
        Access(context="gone", kubeconfig=kubeconfig), "test", "podinfo", "east", time.monotonic() + LONG_TIMEOUT_S
    )


@pytest.mark.parametrize(
    ("metadata", "waits"),
    [
        ({"labels": {"mirror.linkerd.io/exported": "true"}}, False),
        ({"labels": {"app": "podinfo"}}, True),
        (None, True),
    ],
    ids=["exported", "unexported", "deleted"],
)
def test_mirrors_are_awaited_only_when_service_is_unexported(
    monkeypatch: pytest.MonkeyPatch, metadata: dict[str, Any] | None, waits: bool
) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(export_cleanup, "delete_mirror", lambda *call: calls.append(call))
    path = "/api/v1/namespaces/test/services/podinfo"

    objects = {path: {"metadata": metadata}} if metadata is not None else {}
    with serve_source(monkeypatch, MirroringCluster(objects=objects)) as target:
        ExportCleanupProvider().delete("east/test/podinfo/west", PROPS)

    assert target.requests == [f"GET {path}"]

    expected = (Access(context="ctx-west", kubeconfig="text"), "test", "podinfo", "east")
    assert [call[:4] for call in calls] == ([expected] if waits else [])
    assert all(0 < call[4] - time.monotonic() <= export_cleanup.MIRROR_DELETION_TIMEOUT_S for call in calls)


def test_mirrors_of_unreachable_target_are_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_cleanup, "delete_mirror", lambda *_: pytest.fail("must not wait"))
    with serve(MirroringCluster()) as east:
        server = east.server
    accesses: list[Access] = []

    def connect(access: Access) -> Any:
        accesses.append(access)
        return build_client(server)

    monkeypatch.setattr(kube_client, "build_api_client", connect)

    ExportCleanupProvider().delete("east/test/podinfo/west", PROPS)

    assert accesses == [Access(context="ctx-east")], "the source is not contacted"
    assert east.requests == []


def test_changed_kubeconfig_is_updated_in_place() -> None:
    provider = ExportCleanupProvider()
    created = provider.create(PROPS)
    assert created.id == "east/test/podinfo/west"
    assert created.outs is not None
    assert not provider.diff(created.id, created.outs, {**PROPS, "__provider": "another"}).changes

    changed = {**PROPS, "sourceContext": "another"}

    assert provider.diff(created.id, created.outs, changed).changes
    assert provider.update(created.id, created.outs, changed).outs == changed
