"""CRDs that Helm leaves behind: deleted with the release that brought them, and under nobody else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from components.dynamic_providers import RetainedCrdsProvider
from components.helm import retained_crds
from components.helm.retained_crds import delete_retained_crds
from mesh.kube import client as kube_client
from mesh.kube.client import Access
from tests.helpers.fake_api_server import FakeApiServer, build_client, serve

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RECORDS = "/api/v1/namespaces/linkerd/secrets"
GROUP = "gateway.networking.k8s.io"
MARKS = {"meta.helm.sh/release-name": "linkerd-crds", "meta.helm.sh/release-namespace": "linkerd"}
PROPS = {
    "cluster": "west",
    "context": "ctx-west",
    "kubeconfig": "text",
    "release": "linkerd-crds",
    "namespace": "linkerd",
}


@dataclass
class Server(FakeApiServer):
    """An API server on which CRDs can be deleted."""

    def crd(self, plural: str, *, group: str = GROUP, objects: int = 0, **metadata: Any) -> str:
        name = f"{plural}.{group}"
        spec = {
            "group": group,
            "names": {"plural": plural},
            "versions": [{"name": "v1alpha2", "served": False}, {"name": "v1", "served": True}],
        }
        crd = {"metadata": {"name": name, "annotations": MARKS, **metadata}, "spec": spec}
        self.objects.setdefault(CRDS, {"items": []})["items"].append(crd)
        self.objects[f"{CRDS}/{name}"] = crd
        left = {"remainingItemCount": objects - 1} if objects > 1 else {}
        self.objects[f"/apis/{group}/v1/{plural}"] = {"items": [{}] * min(objects, 1), "metadata": left}
        return name

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if self.requests[-1].startswith("DELETE ") and path in self.objects:
            return 200, json.dumps(self.objects.pop(path)).encode()
        return super().answer(path, body)

    @property
    def deleted(self) -> list[str]:
        return [each.rpartition("/")[2] for each in self.requests if each.startswith("DELETE ")]


def removed(server: Server, *records: dict[str, Any]) -> list[str]:
    server.objects[RECORDS] = {"items": list(records), "metadata": {}}
    with serve(server):
        return list(delete_retained_crds(build_client(server.server), "linkerd-crds", "linkerd"))


def test_crds_that_the_release_has_left_behind_are_deleted() -> None:
    server = Server()
    names = [server.crd("httproutes"), server.crd("tlsroutes")]

    assert removed(server) == []
    assert server.deleted == names


def test_while_the_release_is_there_nothing_is_deleted() -> None:
    server = Server()
    server.crd("httproutes")

    assert removed(server, {"metadata": {"name": "sh.helm.release.v1.linkerd-crds.v2"}}) == []
    assert server.requests == [f"GET {RECORDS}"], (
        "another generation of Linkerd has taken over, or the Gateway API's own"
    )


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": None},
        {"annotations": {**MARKS, "meta.helm.sh/release-namespace": "mesh"}},
        {"annotations": {**MARKS, "meta.helm.sh/release-name": "traefik"}},
        {"annotations": {**MARKS, "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        {"managedFields": [{"manager": "pulumi-kubernetes-1c8e9d96", "operation": "Apply"}]},
    ],
    ids=["nobody's", "another-namespace", "another-release", "kubectl", "pulumi"],
)
def test_a_crd_that_somebody_else_has_or_has_taken_over_stays(metadata: dict[str, Any]) -> None:
    server = Server()
    server.crd("httproutes", **metadata)

    assert removed(server) == []
    assert server.deleted == []


def test_crds_of_other_groups_are_helms_business() -> None:
    server = Server()
    server.crd("servers", group="policy.linkerd.io")

    removed(server)

    assert server.deleted == []


def test_a_crd_with_objects_of_somebody_stays_and_is_told_of() -> None:
    server = Server()
    server.crd("httproutes", objects=3)
    server.crd("grpcroutes", objects=1)
    server.crd("tcproutes", managedFields=[{"manager": "helm", "operation": "Update"}])

    assert removed(server) == [
        "httproutes.gateway.networking.k8s.io stays, because 3 objects of it are there; when nobody needs them any "
        "more: kubectl delete crd httproutes.gateway.networking.k8s.io",
        "grpcroutes.gateway.networking.k8s.io stays, because 1 object of it is there; when nobody needs them any "
        "more: kubectl delete crd grpcroutes.gateway.networking.k8s.io",
    ]
    assert server.deleted == ["tcproutes.gateway.networking.k8s.io"]


def test_an_api_server_that_takes_its_time_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retained_crds, "CRD_DELETION_TIMEOUT_S", 0)
    server = Server()
    server.crd("httproutes")

    assert removed(server) == []


def test_the_provider_makes_nothing_and_says_what_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    told: list[str] = []

    def remove(*said: Any) -> list[str]:
        asked.extend(said)
        return ["one stays"]

    monkeypatch.setattr(kube_client, "api_client", lambda way: way)
    monkeypatch.setattr(retained_crds, "delete_retained_crds", remove)
    monkeypatch.setattr("pulumi.log.warn", told.append)
    provider = RetainedCrdsProvider()
    made = provider.create(PROPS)
    assert (made.id, made.outs) == ("west/linkerd-crds", PROPS)
    assert made.outs is not None
    assert not provider.diff(made.id, made.outs, {**PROPS, "__provider": "another"}).changes
    moved = {**PROPS, "context": "another"}
    assert provider.diff(made.id, made.outs, moved).changes
    assert provider.update(made.id, made.outs, moved).outs == moved

    provider.delete(made.id, PROPS)

    assert asked == [Access(context="ctx-west", kubeconfig="text"), "linkerd-crds", "linkerd"]
    assert told == ["west: one stays"]
