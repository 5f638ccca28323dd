"""Objects that a Helm release takes over: repair, deletion of obsolete ones, and continuation after an interruption."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from mesh.helm import former_release, release_storage
from mesh.helm.drift import RepairError
from mesh.kube.ownership import helm_ownership_metadata
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve

NAMESPACE, RELEASE = "linkerd-viz", "linkerd-viz"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
FORMER = f"{SECRETS}/multicluster-mesh-former-release-{RELEASE}"
API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.tap.linkerd.io"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/old"
OWNERSHIP = helm_ownership_metadata(RELEASE, NAMESPACE)
KINDS = {
    "/apis/apiregistration.k8s.io/v1": [("APIService", "apiservices", False)],
    "/apis/rbac.authorization.k8s.io/v1": [("ClusterRole", "clusterroles", False)],
    "/api/v1": [("Namespace", "namespaces", False), ("Secret", "secrets", True)],
}


def manifest_object(api_version: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def api_service(authority: str) -> dict[str, Any]:
    spec = {"caBundle": authority}
    return manifest_object("apiregistration.k8s.io/v1", "APIService", "v1alpha1.tap.linkerd.io", spec=spec)


def owned(body: dict[str, Any], **annotations: str) -> dict[str, Any]:
    """Return an object as Helm creates it, with further annotations."""
    metadata = {**OWNERSHIP, "annotations": {**OWNERSHIP["annotations"], **annotations}}
    return {**body, "metadata": {**body["metadata"], **metadata}}


def revision(number: int, status: str, objects: list[dict[str, Any]]) -> dict[str, Any]:
    release = {"manifest": yaml.safe_dump_all(objects), "info": {"status": status}}
    return release_storage.revision_secret(RELEASE, NAMESPACE, number, release)


class WritableServer(FakeApiServer):
    """An API server that stores objects and merges patches."""

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        method = self.requests[-1].split()[0]
        if method == "DELETE":
            self.objects.pop(path, None)
            return 200, b"{}"
        if method == "POST":
            key = f"{path}/{body['metadata']['name']}"
            if key in self.objects:
                return 409, json.dumps({"kind": "Status", "message": "exists"}).encode()
            self.objects[key] = body
            return 201, json.dumps(body).encode()
        if method == "PATCH":
            live = self.objects[path]
            live["spec"] = body["spec"]
            return 200, json.dumps(live).encode()
        return super().answer(path, body)


ROLE_OBJECT = manifest_object("rbac.authorization.k8s.io/v1", "ClusterRole", "old")


@pytest.fixture
def server() -> WritableServer:
    """Return a server with objects of the former release, whose revision is still stored."""
    api = WritableServer()
    for path, kinds in KINDS.items():
        api.objects[path] = {
            "resources": [{"kind": kind, "name": name, "namespaced": namespaced} for kind, name, namespaced in kinds]
        }
    available = {"conditions": [{"type": "Available", "status": "True"}]}
    api.objects[API_SERVICE] = {**owned(api_service("b2xk")), "status": available}
    api.objects[ROLE] = owned(ROLE_OBJECT)
    return api


def install(server: WritableServer, objects: list[dict[str, Any]]) -> None:
    """Store the deployed revision of the new release."""
    query = "owner%3Dhelm%2Cname%3Dlinkerd-viz%2Cstatus%20in%20%28deployed%2Cuninstalling%29"
    server.objects[f"{SECRETS}?labelSelector={query}"] = {"items": [revision(1, "deployed", objects)]}


def keep(server: WritableServer, *revisions: dict[str, Any]) -> None:
    with serve(server):
        former_release.keep_former_release(build_kube_client(server.server), NAMESPACE, RELEASE, revisions)


def take_over(server: WritableServer) -> list[str]:
    with serve(server):
        return former_release.take_over_objects(build_kube_client(server.server), NAMESPACE, RELEASE)


FORMER_OBJECTS = [api_service("b2xk"), ROLE_OBJECT]


def test_object_that_helm_ignores_is_repaired(server: WritableServer) -> None:
    keep(server, revision(1, "deployed", FORMER_OBJECTS))
    install(server, [api_service("bmV3"), ROLE_OBJECT])

    assert take_over(server) == ["repaired: APIService v1alpha1.tap.linkerd.io: spec.caBundle"]
    assert server.objects[API_SERVICE]["spec"] == {"caBundle": "bmV3"}
    assert FORMER not in server.objects
    assert take_over(server) == []


def test_object_of_only_the_former_release_is_deleted(server: WritableServer) -> None:
    keep(server, revision(1, "superseded", FORMER_OBJECTS), revision(2, "failed", []))
    install(server, [api_service("b2xk")])

    assert take_over(server) == ["deleted: ClusterRole old, which only the former release had"]
    assert ROLE not in server.objects


@pytest.mark.parametrize(
    "live",
    [
        owned(ROLE_OBJECT, **{"pulumi.com/patchFieldManager": "multicluster-mesh-dev"}),
        owned(ROLE_OBJECT, **{"helm.sh/resource-policy": "keep"}),
        owned(ROLE_OBJECT, **{"meta.helm.sh/release-name": "another"}),
        ROLE_OBJECT,
    ],
)
def test_former_object_of_another_owner_is_retained(server: WritableServer, live: dict[str, Any]) -> None:
    keep(server, revision(1, "deployed", FORMER_OBJECTS))
    install(server, [api_service("b2xk")])
    server.objects[ROLE] = live

    assert take_over(server) == []
    assert server.objects[ROLE] == live


def test_former_namespace_is_never_deleted(server: WritableServer) -> None:
    namespace = manifest_object("v1", "Namespace", NAMESPACE)
    keep(server, revision(1, "deployed", [*FORMER_OBJECTS, namespace]))
    install(server, FORMER_OBJECTS)
    server.objects[f"/api/v1/namespaces/{NAMESPACE}"] = owned(namespace)

    assert take_over(server) == []
    assert f"/api/v1/namespaces/{NAMESPACE}" in server.objects


def test_first_kept_revision_survives_an_interruption(server: WritableServer) -> None:
    keep(server, revision(1, "deployed", FORMER_OBJECTS))
    keep(server, revision(1, "pending-install", [api_service("b2xk")]))
    install(server, [api_service("b2xk")])

    assert take_over(server) == ["deleted: ClusterRole old, which only the former release had"]


def test_takeover_waits_for_a_stored_revision(server: WritableServer) -> None:
    keep(server, revision(1, "deployed", FORMER_OBJECTS))

    assert take_over(server) == []
    assert FORMER in server.objects


def test_failed_repair_keeps_the_former_release(server: WritableServer) -> None:
    keep(server, revision(1, "deployed", FORMER_OBJECTS))
    install(server, [manifest_object("example.com/v1", "Unknown", "one")])
    server.objects[f"{SECRETS}"] = {"items": []}

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RepairError):
        patch.setattr("mesh.helm.drift.repair.KIND_SERVED_TIMEOUT_S", 0)
        take_over(server)
    assert FORMER in server.objects


@pytest.mark.parametrize(
    ("path", "is_kept"),
    [
        (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", True),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", True),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", True),
        ("/apis/apps/v1/deployments", False),
    ],
)
def test_objects_without_revision_are_compared_too(server: WritableServer, path: str, is_kept: bool) -> None:
    server.objects[path] = {"items": [{"metadata": OWNERSHIP}]}
    keep(server)

    assert (FORMER in server.objects) is is_kept


def test_first_install_keeps_nothing(server: WritableServer) -> None:
    keep(server)
    install(server, FORMER_OBJECTS)

    assert take_over(server) == []
    assert not [request for request in server.requests if not request.startswith("GET")]
