"""Wait for the mirror services of a renamed target."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from components.linkerd.renamed_mirrors import wait_for_renamed_mirrors
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve


def mirrors_path(kind: str, target: str) -> str:
    selector = f"mirror.linkerd.io/mirrored-service=true,mirror.linkerd.io/cluster-name={target}"
    return f"/api/v1/{kind}?labelSelector={quote(selector)}"


class Source(FakeApiServer):
    """A source whose controller creates the new mirrors with the third response."""

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if len(self.requests) >= 8:
            self.objects[mirrors_path("services", "prod-east")] = object_list("podinfo-prod-east")
            self.objects[mirrors_path("endpoints", "prod-east")] = object_list("podinfo-prod-east")
        return super().answer(path, body)


def object_list(*names: str) -> dict[str, Any]:
    return {"items": [{"metadata": {"namespace": "test", "name": name}} for name in names]}


def source_with(*old_mirrors: str) -> Source:
    objects = {mirrors_path(kind, "east"): object_list(*old_mirrors) for kind in ("services", "endpoints")}
    empty = {mirrors_path(kind, "prod-east"): object_list() for kind in ("services", "endpoints")}
    return Source(objects={**objects, **empty})


def test_update_waits_for_new_mirrors() -> None:
    with serve(source_with("podinfo-east")) as source:
        assert wait_for_renamed_mirrors(build_kube_client(source.server), "east", "prod-east", 10) == []

    assert len(source.requests) >= 8


def test_missing_mirrors_are_returned_at_the_deadline() -> None:
    with serve(source_with("podinfo-east", "till-east")) as source:
        missing = wait_for_renamed_mirrors(build_kube_client(source.server), "east", "prod-east", 0)

    assert missing == ["test/podinfo-prod-east", "test/till-prod-east"]


def test_target_without_mirrors_needs_no_wait() -> None:
    with serve(source_with()) as source:
        assert wait_for_renamed_mirrors(build_kube_client(source.server), "east", "prod-east", 10) == []

    assert len(source.requests) == 4
