"""The removal of an exported service's mirrors: waited for, and done where nobody else does it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes.client import ApiException

from components.dynamic_providers import ExportCleanupProvider
from components.workloads import export_cleanup
from components.workloads.export_cleanup import delete_mirror
from mesh.kube import client as kube_client
from mesh.kube.client import Access
from tests.helpers import kubeconfigs
from tests.helpers.fake_api_server import Cluster, client, running

MIRROR = "/api/v1/namespaces/test/services/podinfo-east"
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
LONG, OVER = 10.0, -1.0


def service(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "podinfo-east", "namespace": "test", "labels": labels or None}}


OURS = service(**{"mirror.linkerd.io/cluster-name": "east", "mirror.linkerd.io/mirrored-service": "true"})


@dataclass
class Source(Cluster):
    """A source cluster, in which a controller may remove the mirror after some looks."""

    goes_after: int | None = None

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if self.asked[-1] == f"DELETE {MIRROR}" and path in self.objects and path not in self.statuses:
            return 200, json.dumps(self.objects.pop(path)).encode()
        if self.goes_after is not None and self.asked.count(f"GET {MIRROR}") > self.goes_after:
            self.objects.pop(MIRROR, None)
        return super().answer(path, body)


@contextmanager
def source(monkeypatch: pytest.MonkeyPatch, found: Source) -> Iterator[Source]:
    with running(found):
        monkeypatch.setattr(kube_client, "api_client", lambda way: client(found.server))
        yield found


def remove(seconds: float) -> None:
    delete_mirror(Access(context="west"), "test", "podinfo", "east", time.monotonic() + seconds)


def test_a_mirror_that_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with source(monkeypatch, Source()) as west:
        remove(LONG)

    assert west.asked == [f"GET {MIRROR}"]


def test_a_mirror_that_its_controller_removes_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with source(monkeypatch, Source(objects={MIRROR: OURS}, goes_after=1)) as west:
        remove(LONG)

    assert west.asked == [f"GET {MIRROR}"] * 2


def test_a_mirror_that_nobody_removes_is_removed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with source(monkeypatch, Source(objects={MIRROR: OURS})) as west:
        remove(OVER)

    assert west.asked == [f"GET {MIRROR}", f"DELETE {MIRROR}"]
    assert MIRROR not in west.objects


@pytest.mark.parametrize("labels", [{}, {"mirror.linkerd.io/cluster-name": "north"}], ids=["none", "of-another-target"])
def test_somebody_elses_service_of_the_same_name_stays(monkeypatch: pytest.MonkeyPatch, labels: dict[str, str]) -> None:
    with source(monkeypatch, Source(objects={MIRROR: service(**labels)})) as west:
        remove(OVER)

    assert west.asked == [f"GET {MIRROR}"]
    assert MIRROR in west.objects


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_a_refusal_is_told_of(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    found = Source(objects={MIRROR: OURS})
    answer = found.answer

    def refuse(path: str, body: Any) -> tuple[int, bytes]:
        return (403, b"{}") if found.asked[-1].startswith(verb) else answer(path, body)

    monkeypatch.setattr(found, "answer", refuse)

    with source(monkeypatch, found), pytest.raises(ApiException, match="403"):
        remove(OVER)


def test_a_source_that_can_not_be_reached_is_left_to_its_own_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Source()) as west:
        server = west.server
    monkeypatch.setattr(kube_client, "api_client", lambda way: client(server))

    remove(LONG)


def test_a_source_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_cleanup, "CONNECT_READ_TIMEOUT_S", (0.01, 0.01))
    with source(monkeypatch, Source(stuck=(MIRROR,))) as west:
        remove(LONG)

    assert f"DELETE {MIRROR}" not in west.asked


@pytest.mark.parametrize("kubeconfig", ["", kubeconfigs.text({"east": {"server": "https://east.example.com"}})])
def test_a_source_that_no_kubeconfig_knows_any_more_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, kubeconfig: str
) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere/kubeconfig")

    delete_mirror(Access(context="gone", kubeconfig=kubeconfig), "test", "podinfo", "east", time.monotonic() + LONG)


@pytest.mark.parametrize(
    ("there", "waits"),
    [
        ({"labels": {"mirror.linkerd.io/exported": "true"}}, False),
        ({"labels": {"app": "podinfo"}}, True),
        (None, True),
    ],
    ids=["still exported", "exported no longer", "gone"],
)
def test_mirrors_are_waited_for_unless_it_is_the_link_that_goes(
    monkeypatch: pytest.MonkeyPatch, there: dict[str, Any] | None, waits: bool
) -> None:
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(export_cleanup, "delete_mirror", lambda *asked: seen.append(asked))
    path = "/api/v1/namespaces/test/services/podinfo"

    with source(monkeypatch, Source(objects={path: {"metadata": there}} if there is not None else {})):
        ExportCleanupProvider().delete("east/test/podinfo/west", PROPS)

    wanted = (Access(context="ctx-west", kubeconfig="text"), "test", "podinfo", "east")
    assert [asked[:4] for asked in seen] == ([wanted] if waits else [])
    assert all(0 < asked[4] - time.monotonic() <= export_cleanup.MIRROR_DELETION_TIMEOUT_S for asked in seen)


def test_a_target_that_can_not_be_reached_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_cleanup, "delete_mirror", lambda *_: pytest.fail("it would wait for what can't happen"))
    with running(Source()) as east:
        server = east.server
    monkeypatch.setattr(kube_client, "api_client", lambda way: client(server))

    ExportCleanupProvider().delete("east/test/podinfo/west", PROPS)


def test_another_kubeconfig_is_taken_up_in_place() -> None:
    provider = ExportCleanupProvider()
    made = provider.create(PROPS)
    assert made.id == "east/test/podinfo/west"
    assert made.outs is not None
    assert not provider.diff(made.id, made.outs, {**PROPS, "__provider": "another"}).changes

    moved = {**PROPS, "sourceContext": "another"}

    assert provider.diff(made.id, made.outs, moved).changes
    assert provider.update(made.id, made.outs, moved).outs == moved
