"""CRDs that Helm retains: deleted with their own release, and kept for any other owner."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from components.dynamic_providers import RetainedCrdsProvider
from components.helm import retained_crds
from components.helm.retained_crds import delete_retained_crds
from mesh.kube import client as kube_client
from mesh.kube.connection import Access
from mesh.kube.constants import CRDS_PATH
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve

RELEASE_SECRETS = "/api/v1/namespaces/linkerd/secrets"
GROUP = "gateway.networking.k8s.io"
OWNERSHIP_ANNOTATIONS = {"meta.helm.sh/release-name": "linkerd-crds", "meta.helm.sh/release-namespace": "linkerd"}
PROPS = {
    "cluster": "west",
    "context": "ctx-west",
    "kubeconfig": "text",
    "release": "linkerd-crds",
    "namespace": "linkerd",
}


@dataclass
class CrdApiServer(FakeApiServer):
    """API server whose CRDs can be deleted."""

    def crd(self, plural: str, *, group: str = GROUP, objects: int = 0, **metadata: Any) -> str:
        name = f"{plural}.{group}"
        spec = {
            "group": group,
            "names": {"plural": plural},
            "versions": [{"name": "v1alpha2", "served": False}, {"name": "v1", "served": True}],
        }
        crd = {"metadata": {"name": name, "annotations": OWNERSHIP_ANNOTATIONS, **metadata}, "spec": spec}
        self.objects.setdefault(CRDS_PATH, {"items": []})["items"].append(crd)
        self.objects[f"{CRDS_PATH}/{name}"] = crd
        list_metadata = {"remainingItemCount": objects - 1} if objects > 1 else {}
        self.objects[f"/apis/{group}/v1/{plural}"] = {"items": [{}] * min(objects, 1), "metadata": list_metadata}
        return name

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if self.requests[-1].startswith("DELETE ") and path in self.objects:
            return 200, json.dumps(self.objects.pop(path)).encode()
        return super().answer(path, body)

    @property
    def deleted(self) -> list[str]:
        return [each.rpartition("/")[2] for each in self.requests if each.startswith("DELETE ")]


def delete_crds(server: CrdApiServer, *secrets: dict[str, Any]) -> list[str]:
    server.objects[RELEASE_SECRETS] = {"items": list(secrets), "metadata": {}}
    with serve(server):
        return list(delete_retained_crds(build_kube_client(server.server), "linkerd-crds", "linkerd"))


def test_retained_crds_of_release_are_deleted() -> None:
    server = CrdApiServer()
    names = [server.crd("httproutes"), server.crd("tlsroutes")]

    assert delete_crds(server) == []
    assert server.deleted == names


def test_existing_release_keeps_its_crds() -> None:
    server = CrdApiServer()
    server.crd("httproutes")

    assert delete_crds(server, {"metadata": {"name": "sh.helm.release.v1.linkerd-crds.v2"}}) == []
    assert server.requests == [f"GET {RELEASE_SECRETS}"], (
        "another Linkerd release has taken over, or the Gateway API's own"
    )


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": None},
        {"annotations": {**OWNERSHIP_ANNOTATIONS, "meta.helm.sh/release-namespace": "mesh"}},
        {"annotations": {**OWNERSHIP_ANNOTATIONS, "meta.helm.sh/release-name": "traefik"}},
        {"annotations": {**OWNERSHIP_ANNOTATIONS, "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        {"managedFields": [{"manager": "pulumi-kubernetes-1c8e9d96", "operation": "Apply"}]},
    ],
    ids=["no-owner", "another-namespace", "another-release", "kubectl", "pulumi"],
)
def test_crd_with_another_owner_is_kept(metadata: dict[str, Any]) -> None:
    server = CrdApiServer()
    server.crd("httproutes", **metadata)

    assert delete_crds(server) == []
    assert server.deleted == []


def test_crds_of_other_groups_are_kept() -> None:
    server = CrdApiServer()
    server.crd("servers", group="policy.linkerd.io")

    delete_crds(server)

    assert server.deleted == []


def test_crd_with_objects_is_kept_and_reported() -> None:
    server = CrdApiServer()
    server.crd("httproutes", objects=3)
    server.crd("grpcroutes", objects=1)
    server.crd("tcproutes", managedFields=[{"manager": "helm", "operation": "Update"}])

    assert delete_crds(server) == [
        "httproutes.gateway.networking.k8s.io stays, because it has 3 objects; if they are not needed, run: "
        "kubectl delete crd httproutes.gateway.networking.k8s.io",
        "grpcroutes.gateway.networking.k8s.io stays, because it has 1 object; if they are not needed, run: "
        "kubectl delete crd grpcroutes.gateway.networking.k8s.io",
    ]
    assert server.deleted == ["tcproutes.gateway.networking.k8s.io"]


def test_wait_for_crd_deletion_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retained_crds, "CRD_DELETION_TIMEOUT_S", 0)
    server = CrdApiServer()
    server.crd("httproutes")

    assert delete_crds(server) == []


def test_provider_creates_nothing_and_reports_kept_crds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []
    warnings: list[str] = []

    def remove(*arguments: Any) -> list[str]:
        calls.extend(arguments)
        return ["one stays"]

    monkeypatch.setattr(kube_client, "connect", lambda access, **timeouts: (access, timeouts))
    monkeypatch.setattr(retained_crds, "delete_retained_crds", remove)
    monkeypatch.setattr("pulumi.log.warn", warnings.append)
    provider = RetainedCrdsProvider()
    created = provider.create(PROPS)
    assert (created.id, created.outs) == ("west/linkerd-crds", PROPS)
    assert created.outs is not None
    assert not provider.diff(created.id, created.outs, {**PROPS, "__provider": "another"}).changes
    changed_props = {**PROPS, "context": "another"}
    assert provider.diff(created.id, created.outs, changed_props).changes
    assert provider.update(created.id, created.outs, changed_props).outs == changed_props

    provider.delete(created.id, PROPS)

    client = (Access(context="ctx-west", kubeconfig="text"), {"connect_timeout_s": 5})
    assert calls == [client, "linkerd-crds", "linkerd"]
    assert warnings == ["west: one stays"]
