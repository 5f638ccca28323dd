"""Helm's release storage: Secrets of revisions, listed, decoded, created, updated and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from mesh.helm import release_storage
from mesh.kube.errors import ApiStatusError, NotReadableError
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve

SECRETS = "/api/v1/namespaces/linkerd/secrets"
SECRET = f"{SECRETS}/sh.helm.release.v1.viz.v2"


def build_secret(number: int, status: str = "deployed", **release: Any) -> dict[str, Any]:
    content = {"info": {"status": status}, "manifest": f"revision: {number}", **release}
    return release_storage.revision_secret("viz", "linkerd", number, content)


@dataclass
class StorageApiServer(FakeApiServer):
    """An API server that accepts all changes and records their bodies."""

    bodies: list[Any] = field(default_factory=list)

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if self.requests[-1].startswith("GET "):
            return super().answer(path, body)
        self.bodies.append(body)
        return self.statuses.get(path, 200), b"{}"


@pytest.fixture
def server() -> Iterator[StorageApiServer]:
    api_server = StorageApiServer()
    with serve(api_server):
        yield api_server


def test_secret_has_helms_name_and_labels() -> None:
    secret = build_secret(2, "failed")

    assert secret["type"] == "helm.sh/release.v1"
    assert secret["metadata"] == {
        "name": "sh.helm.release.v1.viz.v2",
        "namespace": "linkerd",
        "labels": {"name": "viz", "owner": "helm", "status": "failed", "version": "2"},
    }
    assert (release_storage.revision_number(secret), release_storage.revision_status(secret)) == (2, "failed")


def test_encoded_release_is_decoded_unchanged() -> None:
    release = {"info": {"status": "deployed"}, "manifest": "ü", "config": {"replicas": 2}}

    assert release_storage.decode_release({"data": {"release": release_storage.encode_release(release)}}) == release


@pytest.mark.parametrize(
    ("statuses", "selector"),
    [
        ((), "owner%3Dhelm%2Cname%3Dviz"),
        (
            ("pending-install", "uninstalling"),
            "owner%3Dhelm%2Cname%3Dviz%2Cstatus%20in%20%28pending-install%2Cuninstalling%29",
        ),
    ],
)
def test_revisions_are_listed_by_release_and_status(
    server: StorageApiServer, statuses: tuple[str, ...], selector: str
) -> None:
    path = f"{SECRETS}?labelSelector={selector}"
    secret = build_secret(1)  # the encoded release contains the time
    server.objects[path] = {"items": [secret]}

    revisions = release_storage.list_revisions(build_kube_client(server.server), "linkerd", "viz", statuses)

    assert revisions == [secret]
    assert server.requests == [f"GET {path}"]


def test_latest_revision_has_highest_number(server: StorageApiServer) -> None:
    server.objects[SECRETS] = {"items": [build_secret(10, config={"replicas": 2}), build_secret(9)]}

    latest = release_storage.read_latest_revision(build_kube_client(server.server), "linkerd", "viz")

    assert latest is not None
    assert (latest.manifest, latest.values) == ("revision: 10", {"replicas": 2})


@pytest.mark.parametrize("data", [{}, {"release": "%"}, {"release": "bm90IGd6aXA="}, {"release": 7}])
def test_unreadable_revision_is_error(server: StorageApiServer, data: dict[str, Any]) -> None:
    server.objects[SECRETS] = {"items": [{**build_secret(1), "data": data}]}

    with pytest.raises(NotReadableError, match="release viz cannot be read"):
        release_storage.read_latest_revision(build_kube_client(server.server), "linkerd", "viz")


@pytest.mark.parametrize(
    ("chart", "expected"), [({"metadata": {"version": "1.14.1"}}, "1.14.1"), ({"metadata": None}, ""), (None, "")]
)
def test_latest_revision_has_version_of_its_chart(server: StorageApiServer, chart: Any, expected: str) -> None:
    server.objects[SECRETS] = {"items": [build_secret(1, chart=chart)]}

    latest = release_storage.read_latest_revision(build_kube_client(server.server), "linkerd", "viz")

    assert latest is not None
    assert latest.chart_version == expected


def test_changes_of_revision_use_its_path(server: StorageApiServer) -> None:
    client, secret = build_kube_client(server.server), build_secret(2)

    release_storage.create_revision(client, secret)
    release_storage.update_revision(client, secret)
    release_storage.delete_revision(client, secret)

    assert server.requests == [f"POST {SECRETS}", f"PUT {SECRET}", f"DELETE {SECRET}"]
    assert server.bodies == [secret, secret, None]


def test_refused_update_is_error(server: StorageApiServer) -> None:
    server.statuses[SECRET] = 403

    with pytest.raises(ApiStatusError, match="403"):
        release_storage.update_revision(build_kube_client(server.server), build_secret(2))
