"""What Helm has made, compared with what is there, and mended: against an API server in this process."""

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
from mesh.kube.client import Access, KubeClient
from mesh.kube.errors import NotReadableError
from tests.helpers.fake_api_server import FakeApiServer, build_client, serve

RECORDS = "/api/v1/namespaces/linkerd/secrets"
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
    "wait": True,
}


# By which Helm knows what it has made.
MARKS = {
    "labels": {"app.kubernetes.io/managed-by": "Helm"},
    "annotations": {
        "meta.helm.sh/release-name": "linkerd-control-plane",
        "meta.helm.sh/release-namespace": "linkerd",
    },
}


def made(body: dict[str, Any]) -> dict[str, Any]:
    """An object of a manifest as Helm makes it."""
    marks = {key: {**(body["metadata"].get(key) or {}), **found} for key, found in MARKS.items()}
    return {**body, "metadata": {**body["metadata"], **marks}}


def changed(body: dict[str, Any], *path: str | int, to: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(body))
    place: Any = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return found


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
        # What the API server writes in another way, what others add, and what it keeps of the object itself.
        ((*CONTAINER, "resources", "limits"), {"cpu": "1000m", "memory": "1Gi"}, []),
        ((*CONTAINER, "ports"), [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81}], []),
        ((*CONTAINER, "env"), [{"name": "ADDED"}], []),
        (("metadata", "labels"), {"app": "web", "added": "yes"}, []),
        (("metadata", "generation"), 7, []),
        (("status",), {"replicas": 0}, []),
    ],
)
def test_what_differs_is_what_the_next_upgrade_would_change(path: tuple[Any, ...], to: Any, differs: list[str]) -> None:
    assert find_differing_fields(WEB, changed(WEB, *path, to=to)) == differs


def test_entries_that_others_have_put_into_a_list_are_let_be() -> None:
    sidecar = [*WEB["spec"]["template"]["spec"]["containers"], {"name": "sidecar"}]

    assert find_differing_fields(WEB, changed(WEB, *CONTAINER[:-1], to=sidecar)) == []


def test_a_secret_is_compared_as_it_is_stored() -> None:
    wanted = {"kind": "Secret", "metadata": {"name": "x"}, "stringData": {"key": "value"}}

    assert find_differing_fields(wanted, {"data": {"key": base64.b64encode(b"value").decode()}}) == []
    assert find_differing_fields(wanted, {"data": {"key": "b3RoZXI="}}) == ["data.key"]


@dataclass
class Server(FakeApiServer):
    """An API server with a release, on which objects can be made and patched."""

    sent: list[tuple[str, Any]] = field(default_factory=list)
    refused: int | None = None  # what it answers to who writes
    without_strategic: bool = False

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        verb = self.requests[-1].partition(" ")[0]
        if verb == "GET":
            return super().answer(path, body)
        self.sent.append((self.requests[-1], body))
        if self.refused is not None:
            return self.refused, b'{"message": "field is immutable"}'
        if self.without_strategic:
            self.without_strategic = False
            return 415, b"{}"
        place = path if verb == "PATCH" else f"{path}/{body['metadata']['name']}"
        made = {"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}
        self.objects[place] = {**body, "status": made}
        return 200, b"{}"


def record(*bodies: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps({"manifest": yaml.safe_dump_all(bodies)}).encode()
    encoded = base64.b64encode(base64.b64encode(gzip.compress(content))).decode()
    return {"metadata": {"labels": {"version": "1"}}, "data": {"release": encoded}}


@pytest.fixture
def server() -> Iterator[Server]:
    """A release of two objects, both of which are there."""
    objects: dict[str, Any] = {RECORDS: {"items": [record(WEB, INJECTOR)]}}
    objects |= {DEPLOYMENT: made(WEB), WEBHOOK: made(INJECTOR)}
    for path, kinds in KINDS.items():
        resources = [{"name": name, "kind": kind, "namespaced": there} for name, kind, there in kinds]
        objects[path] = {"resources": resources}
    server = Server(objects=objects)
    with serve(server):
        yield server


def looked(server: Server) -> list[str]:
    return [
        str(each)
        for each in drift.find_drift(KubeClient(build_client(server.server), 20), "linkerd", "linkerd-control-plane")
    ]


def mended(server: Server) -> list[str]:
    return drift.repair_drift(build_client(server.server), "linkerd", "linkerd-control-plane", wait=True)


def test_nothing_is_said_of_a_release_that_is_as_it_was_made(server: Server) -> None:
    assert looked(server) == []
    assert mended(server) == []
    assert server.sent == []


def test_what_is_missing_is_made_and_what_differs_gets_its_value_back(server: Server) -> None:
    del server.objects[DEPLOYMENT]
    server.objects[WEBHOOK] = changed(made(INJECTOR), "webhooks", 0, "clientConfig", "caBundle", to="b3RoZXI=")

    found = ["Deployment web is missing", "MutatingWebhookConfiguration injector: " + CA]
    assert looked(server) == found
    assert mended(server) == found

    assert [what for what, _ in server.sent] == [f"POST {DEPLOYMENT.rpartition('/')[0]}", f"PATCH {WEBHOOK}"]
    [(_, deployment), _] = server.sent
    assert deployment["metadata"] == made(WEB)["metadata"], "Helm knows it for its own again"
    assert "paused" not in deployment["spec"], "null would be a wish to delete"
    assert looked(server) == []


def test_an_object_that_helm_would_not_know_for_its_own_gets_its_marks_back(server: Server) -> None:
    server.objects[WEBHOOK] = changed(made(INJECTOR), "metadata", "annotations", to=None)

    assert looked(server) == ["MutatingWebhookConfiguration injector: metadata.annotations"]
    mended(server)
    assert looked(server) == []


CA = "webhooks[injector.example.com].clientConfig.caBundle"


def test_a_kind_without_merge_keys_is_merged_as_a_whole(server: Server) -> None:
    server.objects[DEPLOYMENT] = changed(made(WEB), "spec", "replicas", to=0)
    server.without_strategic = True

    mended(server)

    assert [what for what, _ in server.sent] == [f"PATCH {DEPLOYMENT}"] * 2
    assert looked(server) == []


def test_what_the_api_server_refuses_is_said_with_the_object_and_a_remedy(server: Server) -> None:
    server.objects[DEPLOYMENT] = changed(made(WEB), "spec", "replicas", to=0)
    server.refused = 422

    with pytest.raises(RepairError, match=r"Deployment web of release .*HTTP 422: field is immutable.*--refresh"):
        mended(server)


def test_a_kind_that_the_cluster_does_not_have_is_waited_for_and_then_said(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "KIND_SERVED_TIMEOUT_S", 0)
    server.objects["/apis/apps/v1"] = {"resources": []}

    assert looked(server) == ["Deployment web is missing"]
    with pytest.raises(RepairError, match="no kind Deployment"):
        mended(server)


def test_what_does_not_become_ready_is_an_error(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "READY_TIMEOUT_S", 0)
    monkeypatch.setattr(repair, "_is_ready", lambda live: False)
    del server.objects[DEPLOYMENT]

    with pytest.raises(RepairError, match="Deployment web: mended, and not ready after"):
        mended(server)


def test_what_may_not_be_read_is_not_taken_for_whole(server: Server) -> None:
    server.statuses[WEBHOOK] = 403

    [found] = looked(server)
    assert found.startswith("MutatingWebhookConfiguration injector can't be looked at: ")
    with pytest.raises(RepairError, match="let the user of the kubeconfig read it"):
        mended(server)


def test_a_record_that_may_not_be_read_is_an_error(server: Server) -> None:
    server.statuses[RECORDS] = 403

    with pytest.raises(NotReadableError, match="Helm's records"):
        looked(server)


def test_a_cluster_that_does_not_answer_stays_as_it_was_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kube_client, "api_client", lambda way: build_client("http://127.0.0.1:9"))
    monkeypatch.setattr("pulumi.log.warn", print)
    before = {**PROPS, "drift": ["Deployment web is missing"]}

    assert ReleaseDriftProvider().read("west", before).outs == before
    assert "west: release linkerd-control-plane: drift cannot be detected" in capsys.readouterr().out


def test_a_kubeconfig_that_cannot_be_used_is_told_of_in_the_same_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(way: Access) -> None:
        raise ValueError("no such context")

    monkeypatch.setattr(kube_client, "api_client", fail)
    monkeypatch.setattr("pulumi.log.warn", print)

    assert ReleaseDriftProvider().read("west", PROPS).outs == PROPS
    assert "drift cannot be detected" in capsys.readouterr().out


def test_a_release_of_which_helm_has_no_record_is_left_to_pulumi(server: Server) -> None:
    server.objects[RECORDS] = {"items": []}
    del server.objects[DEPLOYMENT]

    assert looked(server) == []


def test_a_refresh_finds_it_an_update_mends_it_and_nothing_else_asks(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    way = Access(context="ctx-west", kubeconfig="text")
    monkeypatch.setattr(kube_client, "api_client", lambda asked: build_client(server.server) if asked == way else None)
    for level in ("warn", "info"):
        monkeypatch.setattr(f"pulumi.log.{level}", print)
    provider = ReleaseDriftProvider()
    made = provider.create({**PROPS, "drift": None})
    assert made.outs is not None
    assert provider.diff("", made.outs, {**PROPS, "drift": None}).changes is False
    provider.update("", made.outs, PROPS)
    assert server.requests == []

    del server.objects[DEPLOYMENT]
    state = provider.read("west/linkerd/linkerd-control-plane", made.outs).outs
    assert state is not None
    assert "west: release linkerd-control-plane: drifted: Deployment web is missing\n" in capsys.readouterr().out
    assert provider.diff("", state, PROPS).changes is True
    after = provider.update("", state, PROPS).outs
    assert after is not None

    assert DEPLOYMENT in server.objects
    assert after["drift"] == []
    assert provider.diff("", after, PROPS).changes is False
    provider.delete("", after)
    assert len(server.sent) == 1
