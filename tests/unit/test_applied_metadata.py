"""Labels and annotations on objects of other owners, against a fake API server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.dynamic_providers import ObjectMetadataProvider
from components.services.object_metadata import parse_props
from mesh.kube import client as kube_client
from mesh.kube.applied_metadata import MetadataConflictError, ObjectNotFoundError, apply_metadata
from tests.helpers.fake_api_server import FakeApiServer, build_client, build_kube_client, serve

PATH = "/api/v1/namespaces/shop"
INJECT = "linkerd.io/inject"
OPAQUE_PORTS = "config.linkerd.io/opaque-ports"
PROPS: dict[str, Any] = {
    **{"cluster": "west", "context": "west", "kubeconfig": "", "kind": "Namespace", "namespace": "", "name": "shop"},
    **{"labels": {}, "annotations": {INJECT: "enabled", OPAQUE_PORTS: "5432"}, "fieldManager": "mesh-namespace"},
}
METADATA: dict[str, Any] = {"name": "shop", "uid": "uid-shop", "annotations": {}}


@dataclass
class NamespaceCluster(FakeApiServer):
    """A cluster with one namespace that records the bodies of its patches, and answers them with one status."""

    patch_status: int = 200
    bodies: list[Any] = field(default_factory=list)

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if not self.requests[-1].startswith("PATCH"):
            return super().answer(path, body)
        self.bodies.append(body)
        return self.patch_status, json.dumps({"kind": "Status", "message": "Apply failed with 2 conflicts"}).encode()


@pytest.fixture
def west(monkeypatch: pytest.MonkeyPatch) -> Iterator[NamespaceCluster]:
    """Serve a cluster with the namespace, and restore the limit of tracebacks, which a provider changes."""
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    query = f"{PATH}?fieldManager=mesh-namespace"
    # The fake API server keeps the query of these paths.
    cluster = NamespaceCluster(objects={PATH: {"metadata": METADATA}, query: {}, f"{query}&force=true": {}})
    with serve(cluster):
        monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client(cluster.server))
        yield cluster


def apply(west: NamespaceCluster, **props: Any) -> None:
    apply_metadata(build_kube_client(west.server), parse_props({**PROPS, **props}))


def managed(manager: str, *keys: str) -> dict[str, Any]:
    return {"manager": manager, "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{key}": {} for key in keys}}}}


def test_annotations_are_applied_to_the_same_object(west: NamespaceCluster) -> None:
    apply(west)

    metadata = {"name": "shop", "uid": "uid-shop", "annotations": PROPS["annotations"]}
    assert west.bodies == [{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}]
    assert west.requests[-1] == f"PATCH {PATH}?fieldManager=mesh-namespace"


def test_adopted_annotations_are_forced(west: NamespaceCluster) -> None:
    apply(west, adopt=True)

    assert west.requests[-1] == f"PATCH {PATH}?fieldManager=mesh-namespace&force=true"


def test_all_conflicts_name_their_managers(west: NamespaceCluster) -> None:
    west.patch_status = 409
    annotations = {INJECT: "disabled", OPAQUE_PORTS: "3306"}
    managers = [managed("kubectl-annotate", INJECT), managed("argocd", OPAQUE_PORTS), managed("mesh-namespace", INJECT)]
    west.objects[PATH] = {"metadata": {**METADATA, "annotations": annotations, "managedFields": managers}}

    with pytest.raises(MetadataConflictError) as error:
        apply(west)

    assert str(error.value).startswith(
        f"west: Namespace shop: annotation {INJECT} is disabled, set by kubectl-annotate; "
        f"annotation {OPAQUE_PORTS} is 3306, set by argocd; remove it there"
    )
    assert "`clusters.west.adopt: true`" in str(error.value)


def test_terminating_namespace_is_reported(west: NamespaceCluster) -> None:
    west.objects[PATH] = {"metadata": {**METADATA, "deletionTimestamp": "2026-11-28T00:00:00Z"}}

    with pytest.raises(ObjectNotFoundError, match="west: Namespace shop: is being deleted; wait until"):
        apply(west)

    assert west.bodies == []


def test_missing_namespace_is_not_created(west: NamespaceCluster) -> None:
    del west.objects[PATH]

    with pytest.raises(ObjectNotFoundError, match="west: Namespace shop: does not exist"):
        apply(west)

    assert west.bodies == []


def test_deletion_removes_applied_annotations(west: NamespaceCluster) -> None:
    ObjectMetadataProvider().delete("id", PROPS)

    [body] = west.bodies
    assert body["metadata"] == {"name": "shop", "uid": "uid-shop"}


def test_deletion_without_namespace_changes_nothing(west: NamespaceCluster) -> None:
    del west.objects[PATH]

    ObjectMetadataProvider().delete("id", PROPS)

    assert west.bodies == []


def test_refresh_reads_declared_annotations_only(west: NamespaceCluster) -> None:
    west.objects[PATH] = {"metadata": {**METADATA, "annotations": {INJECT: "disabled", "team": "shop"}}}

    result = ObjectMetadataProvider().read("id", PROPS)

    assert result.id == "id"
    assert result.outs is not None
    assert result.outs["annotations"] == {INJECT: "disabled"}
    assert ObjectMetadataProvider().diff("id", result.outs, PROPS).changes


def test_refresh_drops_metadata_of_missing_namespace(west: NamespaceCluster) -> None:
    del west.objects[PATH]

    assert ObjectMetadataProvider().read("id", PROPS).id == ""


def test_unreachable_cluster_keeps_state(west: NamespaceCluster) -> None:
    west.statuses[PATH] = 500

    assert ObjectMetadataProvider().read("id", PROPS).outs == PROPS
