"""Export labels of Services."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.dynamic_providers import ServiceExportProvider
from components.services.service_export import apply_export, share_labels
from mesh.kube import client as kube_client
from mesh.kube.applied_metadata import MetadataConflictError, ObjectNotFoundError
from tests.helpers.fake_api_server import FakeApiServer, build_client, build_kube_client, serve

SERVICE_PATH = "/api/v1/namespaces/test/services/podinfo"
LABEL = "mirror.linkerd.io/exported"
PROPS = {
    **{"cluster": "east", "context": "east", "kubeconfig": "", "namespace": "test", "service": "podinfo"},
    **{"label": LABEL, "value": "true", "fieldManager": "stack-exported"},
}
APPLY_PATH = f"{SERVICE_PATH}?fieldManager=stack-exported"
SERVICE = {"metadata": {"name": "podinfo", "labels": {}}}
# The fake API server keeps the query of these paths.
OBJECTS = {SERVICE_PATH: SERVICE, APPLY_PATH: {}, f"{APPLY_PATH}&force=true": {}}


@dataclass
class ServiceCluster(FakeApiServer):
    """A cluster that records the bodies of its requests, and answers each patch with one status."""

    patch_status: int = 200
    bodies: list[Any] = field(default_factory=list)

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if not self.requests[-1].startswith("PATCH"):
            return super().answer(path, body)
        self.bodies.append(body)
        message = 'Apply failed with 1 conflict: conflict with "kubectl-label"'
        return self.patch_status, json.dumps({"kind": "Status", "message": message}).encode()


@pytest.fixture
def east(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceCluster]:
    """Serve a cluster with the Service, and restore the limit of tracebacks, which a provider changes."""
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)
    cluster = ServiceCluster(objects=dict(OBJECTS))
    with serve(cluster):
        monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client(cluster.server))
        yield cluster


def applied(labels: dict[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "podinfo", "namespace": "test"}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata}


def apply(east: ServiceCluster, props: dict[str, Any]) -> None:
    apply_export(build_kube_client(east.server), props)


def test_export_applies_only_its_label(east: ServiceCluster) -> None:
    apply(east, PROPS)

    assert east.requests == [f"GET {SERVICE_PATH}", f"PATCH {APPLY_PATH}"]
    assert east.bodies == [applied({LABEL: "true"})]


def test_provider_keeps_the_export_in_the_state_only(east: ServiceCluster) -> None:
    created = ServiceExportProvider().create(PROPS)

    assert created.id == f"east/test/podinfo/{LABEL}"
    assert created.outs == PROPS
    assert east.requests == [], "a hook of the resource sets the label"


def test_deletion_removes_only_the_label(east: ServiceCluster) -> None:
    ServiceExportProvider().delete("id", PROPS)

    assert east.bodies == [applied({})]


def test_deletion_without_service_changes_nothing(east: ServiceCluster) -> None:
    east.objects.clear()

    ServiceExportProvider().delete("id", PROPS)

    assert east.requests == [f"GET {SERVICE_PATH}"], "server-side apply would create the Service"


def test_export_of_missing_service_is_reported(east: ServiceCluster) -> None:
    east.objects.clear()

    with pytest.raises(ObjectNotFoundError, match="east: Service test/podinfo: does not exist"):
        apply(east, PROPS)

    assert east.bodies == []


def test_label_of_another_owner_is_reported(east: ServiceCluster) -> None:
    east.patch_status = 409
    fields: dict[str, Any] = {"f:metadata": {"f:labels": {f"f:{LABEL}": {}}}}
    managed = [{"manager": "kubectl-label", "operation": "Update", "fieldsV1": fields}]
    metadata = {"name": "podinfo", "labels": {LABEL: "false"}, "managedFields": managed}
    east.objects[SERVICE_PATH] = {"metadata": metadata}

    with pytest.raises(MetadataConflictError, match=f"label {LABEL} is false, set by kubectl-label; remove it there"):
        apply(east, PROPS)


def test_adopted_cluster_takes_the_label_over(east: ServiceCluster) -> None:
    apply(east, {**PROPS, "adopt": True})

    assert east.requests[-1] == f"PATCH {APPLY_PATH}&force=true"


@pytest.mark.parametrize(("labels", "changes"), [({LABEL: "true"}, False), ({LABEL: "false"}, True), ({}, True)])
def test_refresh_finds_changed_label(east: ServiceCluster, labels: dict[str, str], changes: bool) -> None:
    east.objects[SERVICE_PATH] = {"metadata": {"name": "podinfo", "labels": labels}}
    provider = ServiceExportProvider()

    live = provider.read("id", PROPS)

    assert live.outs is not None
    assert provider.diff("id", live.outs, PROPS).changes is changes


def test_refresh_without_service_drops_the_export(east: ServiceCluster) -> None:
    east.objects.clear()

    live = ServiceExportProvider().read("id", PROPS)

    assert live.id == ""
    assert live.outs == {}, "Pulumi's dynamic provider fails without outputs"


def test_refresh_of_unreachable_cluster_changes_nothing(east: ServiceCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_client, "build_api_client", lambda access: build_client("http://127.0.0.1:9"))

    assert ServiceExportProvider().read("id", PROPS).outs == PROPS


def test_former_label_of_service_gets_second_manager(east: ServiceCluster) -> None:
    federated = {**PROPS, "label": "mirror.linkerd.io/federated", "value": "member"}

    share_labels(build_kube_client(east.server), [PROPS, federated], {LABEL: "remote-discovery", "app": "podinfo"})

    assert east.bodies == [applied({LABEL: "remote-discovery"})], "the former value causes no conflict"


def test_label_of_missing_service_is_left_out(east: ServiceCluster) -> None:
    east.objects.clear()

    share_labels(build_kube_client(east.server), [PROPS], {LABEL: "true"})

    assert east.bodies == []
