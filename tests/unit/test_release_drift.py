"""Drift of a Helm release's objects, detected and repaired on a fake API server."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from components.dynamic_providers import ReleaseDriftProvider
from mesh.helm import drift
from mesh.helm.drift import RepairError, repair
from mesh.helm.drift.diff import find_differing_fields
from mesh.kube import client as kube_client
from mesh.kube.connection import Access
from mesh.kube.errors import NotReadableError
from tests.helpers.fake_api_server import FakeApiServer, build_client, build_kube_client, serve

RELEASE_SECRETS = "/api/v1/namespaces/linkerd/secrets"
DEPLOYMENT = "/apis/apps/v1/namespaces/linkerd/deployments/web"
WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/injector"
WEB: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": None},
    "spec": {
        "replicas": 1,
        "paused": None,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "web",
                        "image": "web:1",
                        "args": ["-v"],
                        "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}},
                        "ports": [{"containerPort": 80}],
                    }
                ]
            }
        },
    },
}
INJECTOR: dict[str, Any] = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "MutatingWebhookConfiguration",
    "metadata": {"name": "injector"},
    "webhooks": [{"name": "injector.example.com", "clientConfig": {"caBundle": "Y2E="}}],
}
KINDS = {
    "/apis/apps/v1": [("deployments", "Deployment", True), ("deployments/scale", "Scale", True)],
    "/apis/admissionregistration.k8s.io/v1": [
        ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False),
    ],
}
PROPS = {
    "cluster": "west",
    "context": "ctx-west",
    "kubeconfig": "text",
    "namespace": "linkerd",
    "release": "linkerd-control-plane",
    "revision": 1,
}


# Helm adopts an object only with this metadata.
OWNERSHIP_METADATA = {
    "labels": {"app.kubernetes.io/managed-by": "Helm"},
    "annotations": {
        "meta.helm.sh/release-name": "linkerd-control-plane",
        "meta.helm.sh/release-namespace": "linkerd",
    },
}


def owned_by_helm(body: dict[str, Any]) -> dict[str, Any]:
    """Return an object of a manifest with Helm's ownership metadata."""
    metadata = {key: {**(body["metadata"].get(key) or {}), **entries} for key, entries in OWNERSHIP_METADATA.items()}
    return {**body, "metadata": {**body["metadata"], **metadata}}


def modify(body: dict[str, Any], *path: str | int, to: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(body))
    parent: Any = copy
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = to
    return copy


CONTAINER = ("spec", "template", "spec", "containers", 0)


@pytest.mark.parametrize(
    ("path", "to", "differs"),
    [
        (("spec", "replicas"), 3, ["spec.replicas"]),
        ((*CONTAINER, "image"), "web:2", ["spec.template.spec.containers[web].image"]),
        ((*CONTAINER, "args"), ["-v", "-x"], ["spec.template.spec.containers[web].args"]),
        ((*CONTAINER, "args"), ["-q"], ["spec.template.spec.containers[web].args[0]"]),
        ((*CONTAINER, "resources", "limits", "cpu"), "2", ["spec.template.spec.containers[web].resources.limits.cpu"]),
        ((*CONTAINER, "name"), "other", ["spec.template.spec.containers[web]"]),
        (("metadata", "labels"), None, ["metadata.labels"]),
        # Not drift: normalized quantities, additions of others, and fields that the API server owns.
        ((*CONTAINER, "resources", "limits"), {"cpu": "1000m", "memory": "1Gi"}, []),
        ((*CONTAINER, "ports"), [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81}], []),
        ((*CONTAINER, "env"), [{"name": "ADDED"}], []),
        (("metadata", "labels"), {"app": "web", "added": "yes"}, []),
        (("metadata", "generation"), 7, []),
        (("status",), {"replicas": 0}, []),
    ],
)
def test_differing_fields_are_those_of_next_upgrade(path: tuple[Any, ...], to: Any, differs: list[str]) -> None:
    assert find_differing_fields(WEB, modify(WEB, *path, to=to)) == differs


def test_list_entries_of_others_are_ignored() -> None:
    sidecar = [*WEB["spec"]["template"]["spec"]["containers"], {"name": "sidecar"}]

    assert find_differing_fields(WEB, modify(WEB, *CONTAINER[:-1], to=sidecar)) == []


def test_string_data_of_secret_is_compared_encoded() -> None:
    desired = {"kind": "Secret", "metadata": {"name": "x"}, "stringData": {"key": "value"}}

    assert find_differing_fields(desired, {"data": {"key": base64.b64encode(b"value").decode()}}) == []
    assert find_differing_fields(desired, {"data": {"key": "b3RoZXI="}}) == ["data.key"]


@dataclass
class DriftedApiServer(FakeApiServer):
    """API server with a release, whose objects can be created and patched."""

    writes: list[tuple[str, Any]] = field(default_factory=list)
    refusal_status: int | None = None  # HTTP status for every write
    rejects_strategic_merge: bool = False

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        verb = self.requests[-1].partition(" ")[0]
        if verb == "GET":
            return super().answer(path, body)
        self.writes.append((self.requests[-1], body))
        if self.refusal_status is not None:
            return self.refusal_status, b'{"message": "field is immutable"}'
        if self.rejects_strategic_merge:
            self.rejects_strategic_merge = False
            return 415, b"{}"
        object_path = path if verb == "PATCH" else f"{path}/{body['metadata']['name']}"
        status = {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}
        self.objects[object_path] = {**body, "status": status}
        return 200, b"{}"


def release_secret(*bodies: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps({"manifest": yaml.safe_dump_all(bodies)}).encode()
    encoded = base64.b64encode(base64.b64encode(gzip.compress(content))).decode()
    return {"metadata": {"labels": {"version": "1"}}, "data": {"release": encoded}}


@pytest.fixture
def server() -> Iterator[DriftedApiServer]:
    """Yield an API server with a release and its two objects."""
    objects: dict[str, Any] = {RELEASE_SECRETS: {"items": [release_secret(WEB, INJECTOR)]}}
    objects |= {DEPLOYMENT: owned_by_helm(WEB), WEBHOOK: owned_by_helm(INJECTOR)}
    for path, kinds in KINDS.items():
        resources = [{"name": name, "kind": kind, "namespaced": is_namespaced} for name, kind, is_namespaced in kinds]
        objects[path] = {"resources": resources}
    server = DriftedApiServer(objects=objects)
    with serve(server):
        yield server


def find_drift(server: DriftedApiServer) -> list[str]:
    return [
        str(each) for each in drift.find_drift(build_kube_client(server.server), "linkerd", "linkerd-control-plane")
    ]


def repair_drift(server: DriftedApiServer) -> list[str]:
    return drift.repair_drift(build_kube_client(server.server), "linkerd", "linkerd-control-plane")


def test_unchanged_release_has_no_drift(server: DriftedApiServer) -> None:
    assert find_drift(server) == []
    assert repair_drift(server) == []
    assert server.writes == []


def test_missing_object_is_recreated_and_changed_field_reset(server: DriftedApiServer) -> None:
    del server.objects[DEPLOYMENT]
    server.objects[WEBHOOK] = modify(owned_by_helm(INJECTOR), "webhooks", 0, "clientConfig", "caBundle", to="b3RoZXI=")

    drifted = ["Deployment web is missing", "MutatingWebhookConfiguration injector: " + CA]
    assert find_drift(server) == drifted
    assert repair_drift(server) == drifted

    assert [request for request, _ in server.writes] == [f"POST {DEPLOYMENT.rpartition('/')[0]}", f"PATCH {WEBHOOK}"]
    [(_, deployment), _] = server.writes
    assert deployment["metadata"] == owned_by_helm(WEB)["metadata"], "Helm owns it again"
    assert "paused" not in deployment["spec"], "null would delete the field"
    assert find_drift(server) == []


def test_lost_helm_ownership_metadata_is_restored(server: DriftedApiServer) -> None:
    server.objects[WEBHOOK] = modify(owned_by_helm(INJECTOR), "metadata", "annotations", to=None)

    assert find_drift(server) == ["MutatingWebhookConfiguration injector: metadata.annotations"]
    repair_drift(server)
    assert find_drift(server) == []


CA = "webhooks[injector.example.com].clientConfig.caBundle"


def test_kind_without_strategic_merge_is_patched_again(server: DriftedApiServer) -> None:
    server.objects[DEPLOYMENT] = modify(owned_by_helm(WEB), "spec", "replicas", to=0)
    server.rejects_strategic_merge = True

    repair_drift(server)

    assert [request for request, _ in server.writes] == [f"PATCH {DEPLOYMENT}"] * 2
    assert find_drift(server) == []


def test_refused_repair_names_object_and_remedy(server: DriftedApiServer) -> None:
    server.objects[DEPLOYMENT] = modify(owned_by_helm(WEB), "spec", "replicas", to=0)
    server.refusal_status = 422

    with pytest.raises(RepairError, match=r"Deployment web of release .*HTTP 422: field is immutable.*--refresh"):
        repair_drift(server)


def test_unserved_kind_is_reported_after_timeout(server: DriftedApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "KIND_SERVED_TIMEOUT_S", 0)
    server.objects["/apis/apps/v1"] = {"resources": []}

    assert find_drift(server) == ["Deployment web is missing"]
    with pytest.raises(RepairError, match="no kind Deployment"):
        repair_drift(server)


def test_unreadable_object_is_reported_as_drift(server: DriftedApiServer) -> None:
    server.statuses[WEBHOOK] = 403

    [drifted] = find_drift(server)
    assert drifted.startswith("MutatingWebhookConfiguration injector cannot be read: ")
    with pytest.raises(RepairError, match="let the user of the kubeconfig read it"):
        repair_drift(server)


def test_unreadable_release_secret_is_error(server: DriftedApiServer) -> None:
    server.statuses[RELEASE_SECRETS] = 403

    with pytest.raises(NotReadableError, match="Helm's revisions"):
        find_drift(server)


def test_unreachable_cluster_keeps_recorded_drift(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client("http://127.0.0.1:9"))
    monkeypatch.setattr("pulumi.log.warn", print)
    before = {**PROPS, "drift": ["Deployment web is missing"]}

    assert ReleaseDriftProvider().read("west", before).outs == before
    assert "west: release linkerd-control-plane: drift cannot be detected" in capsys.readouterr().out


def test_unusable_kubeconfig_keeps_recorded_drift(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(access: Access) -> None:
        raise ValueError("no such context")

    monkeypatch.setattr(kube_client, "build_api_client", fail)
    monkeypatch.setattr("pulumi.log.warn", print)

    assert ReleaseDriftProvider().read("west", PROPS).outs == PROPS
    assert "drift cannot be detected" in capsys.readouterr().out


def test_release_without_revision_has_no_drift(server: DriftedApiServer) -> None:
    server.objects[RELEASE_SECRETS] = {"items": []}
    del server.objects[DEPLOYMENT]

    assert find_drift(server) == []


def test_only_refresh_detects_drift(
    server: DriftedApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    access = Access(context="ctx-west", kubeconfig="text")
    monkeypatch.setattr(
        kube_client, "build_api_client", lambda requested: build_client(server.server) if requested == access else None
    )
    monkeypatch.setattr("pulumi.log.warn", print)
    provider = ReleaseDriftProvider()
    created = provider.create({**PROPS, "drift": None})
    assert created.outs is not None
    assert provider.diff("", created.outs, {**PROPS, "drift": None}).changes is False
    provider.update("", created.outs, PROPS)
    assert server.requests == []

    del server.objects[DEPLOYMENT]
    state = provider.read("west/linkerd/linkerd-control-plane", created.outs).outs
    assert state is not None
    assert "west: release linkerd-control-plane: drifted: Deployment web is missing\n" in capsys.readouterr().out
    assert provider.diff("", state, PROPS).changes is True
    after = provider.update("", state, PROPS).outs
    assert after is not None
    assert after["drift"] == [], "a hook has repaired it"
    assert provider.diff("", after, PROPS).changes is False
    provider.delete("", after)


def test_upgraded_release_updates_its_drift_resource() -> None:
    provider = ReleaseDriftProvider()
    state = provider.create(PROPS).outs
    assert state is not None

    assert provider.diff("", state, {**PROPS, "revision": 2}).changes is True
