"""Links that older versions of their API have written, and the newer one that is to go on with them."""

from __future__ import annotations

from typing import Any

import pytest

from components.linkerd.link_migration import migrate_managed_fields
from mesh.kube import client as kube_client
from mesh.kube.client import Access
from tests.helpers.fake_api_server import Cluster, client, running

GROUP = "multicluster.linkerd.io"
LINKS = f"/apis/{GROUP}/v1alpha3/namespaces/mc/links"


def managed(api: str, manager: str = "mesh", operation: str = "Apply") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": api, "fieldsV1": {"f:spec": {}}}


def link(name: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": "7", "managedFields": list(entries)}}


class Links(Cluster):
    """Keeps what it is sent."""

    bodies: list[Any]

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if self.asked[-1].startswith("PATCH"):
            self.bodies.append(body)
            return 200, b"{}"
        return super().answer(path, body)


def carried(monkeypatch: pytest.MonkeyPatch, *links: dict[str, Any]) -> Links:
    found = Links(objects={LINKS: {"items": list(links)}})
    found.bodies = []
    with running(found):
        monkeypatch.setattr(kube_client, "api_client", lambda way: client(found.server))
        migrate_managed_fields(Access(context="west"), "mc", f"{GROUP}/v1alpha3")
    return found


def test_links_of_an_older_version_are_carried_over_with_all_their_managers(monkeypatch: pytest.MonkeyPatch) -> None:
    old = link("east", managed(f"{GROUP}/v1alpha1"), managed(f"{GROUP}/v1alpha2", "kubectl", "Update"))

    found = carried(monkeypatch, old)

    assert found.asked == [f"GET {LINKS}", f"PATCH {LINKS}/east"]
    assert found.bodies == [
        {
            "metadata": {
                "managedFields": [
                    managed(f"{GROUP}/v1alpha3"),
                    managed(f"{GROUP}/v1alpha3", "kubectl", "Update"),
                ],
                "resourceVersion": "7",
            }
        }
    ]


def test_links_of_the_present_version_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    here = link("east", managed(f"{GROUP}/v1alpha3"), managed("example.com/v1", "other"))

    assert carried(monkeypatch, here, link("north")).asked == [f"GET {LINKS}"]


def test_a_cluster_without_links_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert carried(monkeypatch).asked == [f"GET {LINKS}"]
