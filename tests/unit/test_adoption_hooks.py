"""Hooks that prepare objects of other owners for server-side apply."""

from __future__ import annotations

from typing import Any

import pytest

from components.sdk.adoption import delete_secret_of_other_type, take_over_fields
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve

SECRET = "/api/v1/namespaces/linkerd/secrets/linkerd-identity-issuer"
LINK = "/apis/multicluster.linkerd.io/v1alpha1/namespaces/linkerd-multicluster/links/east"
TLS = "kubernetes.io/tls"
TLS_SECRET = {"type": TLS, "metadata": {"namespace": "linkerd", "name": "linkerd-identity-issuer"}}
CERTIFICATE = {"metadata": {"namespace": "linkerd", "name": "certificate"}}


@pytest.mark.parametrize(("live", "is_replaced"), [("Opaque", True), (TLS, False), (None, False)])
@pytest.mark.parametrize(
    ("inputs", "secret"), [(TLS_SECRET, None), (CERTIFICATE, "linkerd-identity-issuer")], ids=["own", "cert-manager"]
)
def test_secret_of_another_type_is_replaced(
    inputs: dict[str, Any], secret: str | None, live: str | None, is_replaced: bool
) -> None:
    server = FakeApiServer(objects={} if live is None else {SECRET: {"type": live}})
    with serve(server):
        delete_secret_of_other_type(build_kube_client(server.server), inputs, cluster="west", secret=secret)

    assert server.requests == [f"GET {SECRET}", *([f"DELETE {SECRET}"] if is_replaced else [])]


class RecordingServer(FakeApiServer):
    """An API server that keeps the body of the last request."""

    body: Any = None

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        self.body = body
        return super().answer(path, body)


def take_over(managed_fields: list[dict[str, str]] | None) -> Any:
    """Return the body of the last request."""
    server = RecordingServer()
    if managed_fields is not None:
        server.objects[LINK] = {"metadata": {"resourceVersion": "7", "managedFields": managed_fields}}
    inputs = {
        "metadata": {
            "namespace": "linkerd-multicluster",
            "annotations": {"pulumi.com/patchFieldManager": "multicluster-mesh-dev"},
        }
    }
    with serve(server):
        take_over_fields(
            build_kube_client(server.server),
            inputs,
            path=lambda namespace: f"/apis/multicluster.linkerd.io/v1alpha1/namespaces/{namespace}/links/east",
        )
    return server.body


def test_fields_of_kubectl_apply_get_the_new_manager() -> None:
    kubectl = {"manager": "kubectl-client-side-apply", "operation": "Update"}
    other = {"manager": "linkerd-service-mirror", "operation": "Update"}

    assert take_over([kubectl, other]) == {
        "metadata": {
            "resourceVersion": "7",
            "managedFields": [{"manager": "multicluster-mesh-dev", "operation": "Apply"}, other],
        }
    }


@pytest.mark.parametrize("managed_fields", [None, [], [{"manager": "multicluster-mesh-dev", "operation": "Apply"}]])
def test_other_objects_are_not_changed(managed_fields: list[dict[str, str]] | None) -> None:
    assert take_over(managed_fields) is None
