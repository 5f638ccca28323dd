"""Migration of Links from an older API version."""

from __future__ import annotations

from typing import Any

import pytest

from components.linkerd.link_migration import migrate_managed_fields
from mesh.kube import client as kube_client
from mesh.kube.connection import Access
from tests.helpers.fake_api_server import FakeApiServer, build_client, serve

GROUP = "multicluster.linkerd.io"
LINKS_PATH = f"/apis/{GROUP}/v1alpha3/namespaces/mc/links"


def managed_fields_entry(api: str, manager: str = "mesh", operation: str = "Apply") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": api, "fieldsV1": {"f:spec": {}}}


def build_link(name: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": "7", "managedFields": list(entries)}}


class Links(FakeApiServer):
    """A cluster that records the body of each patch."""

    bodies: list[Any]

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if self.requests[-1].startswith("PATCH"):
            self.bodies.append(body)
            return 200, b"{}"
        return super().answer(path, body)


def migrate(monkeypatch: pytest.MonkeyPatch, *links: dict[str, Any]) -> Links:
    cluster = Links(objects={LINKS_PATH: {"items": list(links)}})
    cluster.bodies = []
    with serve(cluster):
        monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client(cluster.server))
        migrate_managed_fields(Access(context="west"), "mc", f"{GROUP}/v1alpha3")
    return cluster


def test_older_links_are_migrated_with_all_managers(monkeypatch: pytest.MonkeyPatch) -> None:
    older_link = build_link(
        "east",
        managed_fields_entry(f"{GROUP}/v1alpha1"),
        managed_fields_entry(f"{GROUP}/v1alpha2", "kubectl", "Update"),
    )

    cluster = migrate(monkeypatch, older_link)

    assert cluster.requests == [f"GET {LINKS_PATH}", f"PATCH {LINKS_PATH}/east"]
    assert cluster.bodies == [
        {
            "metadata": {
                "managedFields": [
                    managed_fields_entry(f"{GROUP}/v1alpha3"),
                    managed_fields_entry(f"{GROUP}/v1alpha3", "kubectl", "Update"),
                ],
                "resourceVersion": "7",
            }
        }
    ]


def test_current_links_are_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    current_link = build_link(
        "east", managed_fields_entry(f"{GROUP}/v1alpha3"), managed_fields_entry("example.com/v1", "other")
    )

    assert migrate(monkeypatch, current_link, build_link("north")).requests == [f"GET {LINKS_PATH}"]


def test_cluster_without_links_is_queried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert migrate(monkeypatch).requests == [f"GET {LINKS_PATH}"]
