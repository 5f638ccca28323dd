"""Labels and annotations on objects of other owners, against a fake API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.dynamic_providers import ObjectMetadataProvider
from components.services.object_metadata import parse_props
from mesh.kube.applied_metadata import MetadataConflictError, ObjectNotFoundError, apply_metadata
from tests.helpers.fake_api_server import build_kube_client
from tests.helpers.recorded_patches import PatchedCluster, serve_patched_cluster

PATH = "/api/v1/namespaces/shop"
INJECT = "linkerd.io/inject"
OPAQUE_PORTS = "config.linkerd.io/opaque-ports"
PROPS: dict[str, Any] = {
    **{"cluster": "west", "context": "west", "kubeconfig": "", "kind": "Namespace", "namespace": "", "name": "shop"},
    **{"annotations": {INJECT: "enabled", OPAQUE_PORTS: "5432"}, "fieldManager": "mesh-namespace"},
}
METADATA: dict[str, Any] = {"name": "shop", "uid": "uid-shop", "annotations": {}}


@pytest.fixture
def west(monkeypatch: pytest.MonkeyPatch) -> Iterator[PatchedCluster]:
    """Serve a cluster with the namespace."""
    with serve_patched_cluster(monkeypatch, PATH, {"metadata": METADATA}, "mesh-namespace") as cluster:
        yield cluster


def apply(west: PatchedCluster, **props: Any) -> None:
    apply_metadata(build_kube_client(west.server), parse_props({**PROPS, **props}))


def managed(manager: str, *keys: str) -> dict[str, Any]:
    return {"manager": manager, "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{key}": {} for key in keys}}}}


def test_annotations_are_applied_to_the_same_object(west: PatchedCluster) -> None:
    apply(west)

    metadata = {"name": "shop", "uid": "uid-shop", "annotations": PROPS["annotations"]}
    assert west.bodies == [{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}]
    assert west.requests[-1] == f"PATCH {PATH}?fieldManager=mesh-namespace"


def test_adopted_annotations_are_forced(west: PatchedCluster) -> None:
    apply(west, adopt=True)

    assert west.requests[-1] == f"PATCH {PATH}?fieldManager=mesh-namespace&force=true"


def test_all_conflicts_name_their_managers(west: PatchedCluster) -> None:
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


def test_terminating_namespace_is_reported(west: PatchedCluster) -> None:
    west.objects[PATH] = {"metadata": {**METADATA, "deletionTimestamp": "2026-11-28T00:00:00Z"}}

    with pytest.raises(ObjectNotFoundError, match="west: Namespace shop: is being deleted; wait until"):
        apply(west)

    assert west.bodies == []


def test_missing_namespace_is_not_created(west: PatchedCluster) -> None:
    del west.objects[PATH]

    with pytest.raises(ObjectNotFoundError, match="west: Namespace shop: does not exist"):
        apply(west)

    assert west.bodies == []


def test_deletion_removes_applied_annotations(west: PatchedCluster) -> None:
    ObjectMetadataProvider().delete("id", PROPS)

    [body] = west.bodies
    assert body["metadata"] == {"name": "shop", "uid": "uid-shop"}


def test_deletion_without_namespace_changes_nothing(west: PatchedCluster) -> None:
    del west.objects[PATH]

    ObjectMetadataProvider().delete("id", PROPS)

    assert west.bodies == []


def test_refresh_reads_declared_annotations_only(west: PatchedCluster) -> None:
    west.objects[PATH] = {"metadata": {**METADATA, "annotations": {INJECT: "disabled", "team": "shop"}}}

    result = ObjectMetadataProvider().read("id", PROPS)

    assert result.id == "id"
    assert result.outs is not None
    assert result.outs["annotations"] == {INJECT: "disabled"}
    assert ObjectMetadataProvider().diff("id", result.outs, PROPS).changes


def test_refresh_drops_metadata_of_missing_namespace(west: PatchedCluster) -> None:
    del west.objects[PATH]

    assert ObjectMetadataProvider().read("id", PROPS).id == ""


def test_unreachable_cluster_keeps_state(west: PatchedCluster) -> None:
    west.statuses[PATH] = 500

    assert ObjectMetadataProvider().read("id", PROPS).outs == PROPS
