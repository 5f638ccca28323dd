"""Export labels of Services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.dynamic_providers import ServiceExportProvider
from components.services.service_export import apply_export, share_labels
from mesh.kube import client as kube_client
from mesh.kube.applied_metadata import MetadataConflictError, ObjectNotFoundError
from tests.helpers.fake_api_server import build_client, build_kube_client
from tests.helpers.recorded_patches import PatchedCluster, serve_patched_cluster

SERVICE_PATH = "/api/v1/namespaces/test/services/podinfo"
LABEL = "mirror.linkerd.io/exported"
PROPS = {
    **{"cluster": "east", "context": "east", "kubeconfig": "", "namespace": "test", "service": "podinfo"},
    **{"label": LABEL, "value": "true", "fieldManager": "stack-exported"},
}
APPLY_PATH = f"{SERVICE_PATH}?fieldManager=stack-exported"
SERVICE = {"metadata": {"name": "podinfo", "labels": {}}}


@pytest.fixture
def east(monkeypatch: pytest.MonkeyPatch) -> Iterator[PatchedCluster]:
    """Serve a cluster with the Service."""
    with serve_patched_cluster(monkeypatch, SERVICE_PATH, SERVICE, "stack-exported") as cluster:
        yield cluster


def applied(labels: dict[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "podinfo", "namespace": "test"}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata}


def apply(east: PatchedCluster, props: dict[str, Any]) -> None:
    apply_export(build_kube_client(east.server), props)


def test_export_applies_only_its_label(east: PatchedCluster) -> None:
    apply(east, PROPS)

    assert east.requests == [f"GET {SERVICE_PATH}", f"PATCH {APPLY_PATH}"]
    assert east.bodies == [applied({LABEL: "true"})]


def test_provider_keeps_the_export_in_the_state_only(east: PatchedCluster) -> None:
    created = ServiceExportProvider().create(PROPS)

    assert created.id == f"east/test/podinfo/{LABEL}"
    assert created.outs == PROPS
    assert east.requests == [], "a hook of the resource sets the label"


def test_deletion_removes_only_the_label(east: PatchedCluster) -> None:
    ServiceExportProvider().delete("id", PROPS)

    assert east.bodies == [applied({})]


def test_deletion_without_service_changes_nothing(east: PatchedCluster) -> None:
    east.objects.clear()

    ServiceExportProvider().delete("id", PROPS)

    assert east.requests == [f"GET {SERVICE_PATH}"], "server-side apply would create the Service"


def test_export_of_missing_service_is_reported(east: PatchedCluster) -> None:
    east.objects.clear()

    with pytest.raises(ObjectNotFoundError, match="east: Service test/podinfo: does not exist"):
        apply(east, PROPS)

    assert east.bodies == []


def test_label_of_another_owner_is_reported(east: PatchedCluster) -> None:
    east.patch_status = 409
    fields: dict[str, Any] = {"f:metadata": {"f:labels": {f"f:{LABEL}": {}}}}
    managed = [{"manager": "kubectl-label", "operation": "Update", "fieldsV1": fields}]
    metadata = {"name": "podinfo", "labels": {LABEL: "false"}, "managedFields": managed}
    east.objects[SERVICE_PATH] = {"metadata": metadata}

    with pytest.raises(MetadataConflictError, match=f"label {LABEL} is false, set by kubectl-label; remove it there"):
        apply(east, PROPS)


def test_adopted_cluster_takes_the_label_over(east: PatchedCluster) -> None:
    apply(east, {**PROPS, "adopt": True})

    assert east.requests[-1] == f"PATCH {APPLY_PATH}&force=true"


@pytest.mark.parametrize(("labels", "changes"), [({LABEL: "true"}, False), ({LABEL: "false"}, True), ({}, True)])
def test_refresh_finds_changed_label(east: PatchedCluster, labels: dict[str, str], changes: bool) -> None:
    east.objects[SERVICE_PATH] = {"metadata": {"name": "podinfo", "labels": labels}}
    provider = ServiceExportProvider()

    live = provider.read("id", PROPS)

    assert live.outs is not None
    assert provider.diff("id", live.outs, PROPS).changes is changes


def test_refresh_without_service_drops_the_export(east: PatchedCluster) -> None:
    east.objects.clear()

    live = ServiceExportProvider().read("id", PROPS)

    assert live.id == ""
    assert live.outs == {}, "Pulumi's dynamic provider fails without outputs"


def test_refresh_of_unreachable_cluster_changes_nothing(east: PatchedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client("http://127.0.0.1:9"))

    assert ServiceExportProvider().read("id", PROPS).outs == PROPS


def test_former_label_of_service_gets_second_manager(east: PatchedCluster) -> None:
    federated = {**PROPS, "label": "mirror.linkerd.io/federated", "value": "member"}

    share_labels(build_kube_client(east.server), [PROPS, federated], {LABEL: "remote-discovery", "app": "podinfo"})

    assert east.bodies == [applied({LABEL: "remote-discovery"})], "the former value causes no conflict"


def test_label_of_missing_service_is_left_out(east: PatchedCluster) -> None:
    east.objects.clear()

    share_labels(build_kube_client(east.server), [PROPS], {LABEL: "true"})

    assert east.bodies == []
