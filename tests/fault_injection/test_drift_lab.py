"""Objects that were deleted or edited by hand: a refresh reports them, and `up --refresh` repairs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import yaml

from hack.lab.state_dir import StateDir
from mesh.helm import release_storage
from mesh.kube.client import Access, connect
from mesh.pulumi_cli import PulumiCommandError
from tests.helpers.options import FaultOptions
from tests.helpers.stack_configs import full_mesh_config
from tests.helpers.stack_under_test import StackUnderTest, deploy, wait_until

pytestmark = pytest.mark.lab(minutes=2)

# Pulumi overwrites fields of another field manager only with this variable.
FORCE_VARIABLE = "PULUMI_K8S_ENABLE_PATCH_FORCE"
# Not kubectl, because Pulumi overwrites edits of kubectl even without force.
FOREIGN_FIELD_MANAGER = "--field-manager=somebody"
# An edited field for each kind that Pulumi creates itself.
PULUMI_EDITS: dict[str, dict[str, Any]] = {
    "Namespace": {"metadata": {"labels": {"app.kubernetes.io/part-of": "edited"}}},
    "Secret": {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "edited"}}},
    "Link": {"spec": {"gatewayPort": "4999"}},
    "Deployment": {"spec": {"replicas": 3}},
    "Service": {"spec": {"ports": [{"port": 9898, "name": "edited"}]}},
    "ServiceAccount": {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "edited"}}},
}
# An edited field for each kind that Helm creates.
HELM_EDITS: dict[str, dict[str, Any]] = {
    "ClusterRole": {"rules": []},
    "ClusterRoleBinding": {"subjects": []},
    "Role": {"rules": []},
    "RoleBinding": {"subjects": []},
    "Deployment": {"spec": {"replicas": 0}},
    "Service": {"spec": {"ports": [{"port": 9, "name": "edited"}]}},
    "ConfigMap": {"data": None},
    "MutatingWebhookConfiguration": {"webhooks": []},
    "ValidatingWebhookConfiguration": {"webhooks": []},
}


@dataclass(frozen=True, kw_only=True)
class LiveObject:
    """An object of the stack in a cluster, created by Pulumi or by Helm."""

    context: str
    kind: str
    api: str
    namespace: str
    name: str

    @property
    def arguments(self) -> tuple[str, ...]:
        group = self.api.partition("/")[0] if "/" in self.api else ""
        kind = f"{self.kind}.{self.api.partition('/')[2]}.{group}" if group else self.kind
        return (*(("-n", self.namespace) if self.namespace else ()), kind, self.name)


@pytest.fixture(scope="module")
def mesh(lab: StateDir, faults: FaultOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy a full mesh of all clusters."""
    with deploy(lab, tmp_path_factory.mktemp("drift"), "drift", full_mesh_config(*faults.cluster_names)) as lab_stack:
        yield lab_stack


@pytest.fixture(scope="module")
def rng(faults: FaultOptions) -> Random:
    """Return the random numbers that choose the objects."""
    return faults.random("drift")


def list_pulumi_objects(mesh: StackUnderTest) -> list[LiveObject]:
    """Return the objects that Pulumi created itself."""
    resources = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    contexts = mesh.contexts
    objects = []
    for resource in resources:
        inputs = resource.get("inputs") or {}
        if not resource["type"].startswith("kubernetes:") or resource.get("external") or "kind" not in inputs:
            continue
        context = contexts[resource["provider"].rpartition("::")[0].rpartition("::")[2]]
        metadata = inputs["metadata"]
        objects.append(
            LiveObject(
                context=context,
                kind=inputs["kind"],
                api=inputs["apiVersion"],
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
            )
        )
    return objects


def list_helm_objects(mesh: StackUnderTest) -> list[LiveObject]:
    """Return the objects that Helm created."""
    objects = []
    for context in mesh.contexts.values():
        client = connect(Access(context=context, kubeconfig=str(mesh.lab.kubeconfig)))
        secrets = mesh.list_objects(context, "secrets", "--all-namespaces", "-l", "owner=helm,status=deployed")
        for secret in secrets:
            namespace, release_name = secret["metadata"]["namespace"], secret["metadata"]["labels"]["name"]
            revision = release_storage.read_latest_revision(client, namespace, release_name)
            assert revision is not None
            for body in filter(None, yaml.safe_load_all(revision.manifest)):
                metadata = body["metadata"]
                objects.append(
                    LiveObject(
                        context=context,
                        kind=body["kind"],
                        api=body["apiVersion"],
                        namespace=metadata.get("namespace") or "",
                        name=metadata["name"],
                    )
                )
    return objects


def choose_one_per_kind(objects: list[LiveObject], rng: Random) -> list[LiveObject]:
    """Return a random object of each kind."""
    kinds = sorted({live_object.kind for live_object in objects})
    return [rng.choice([live_object for live_object in objects if live_object.kind == kind]) for kind in kinds]


def edit_object(mesh: StackUnderTest, live_object: LiveObject, change: dict[str, Any]) -> None:
    """Edit an object as another field manager."""
    patch = ("--type=merge", FOREIGN_FIELD_MANAGER, "-p", json.dumps(change))
    mesh.kubectl(live_object.context, "patch", *live_object.arguments, *patch)


def delete_object(mesh: StackUnderTest, live_object: LiveObject) -> None:
    """Delete an object."""
    mesh.kubectl(live_object.context, "delete", *live_object.arguments, "--wait=true", "--ignore-not-found")


def preview_with_refresh(mesh: StackUnderTest, *arguments: str) -> str:
    """Run a preview with a refresh, and return its output."""
    old_length = len(mesh.output.read_text())
    with mesh.engine() as engine:
        engine.preview("--refresh", *arguments)
    return mesh.output.read_text()[old_length:]


def assert_repaired(mesh: StackUnderTest) -> None:
    """Require that another update changes nothing and that all checks pass."""
    mesh.up("--refresh", "--expect-no-changes")
    assert [row for row in mesh.run_checks() if not row.passed] == []


@pytest.mark.usefixtures("at_length")
def test_untouched_mesh_has_no_drift(mesh: StackUnderTest) -> None:
    assert ": drifted:" not in preview_with_refresh(mesh, "--expect-no-changes")


def test_deleted_objects_are_reported_and_created_again(
    mesh: StackUnderTest, faults: FaultOptions, rng: Random
) -> None:
    for _ in range(1 + faults.moments // 10):
        # A deleted namespace has its own test, because all its objects are deleted too.
        helm_objects = choose_one_per_kind(
            [live_object for live_object in list_helm_objects(mesh) if "CustomResource" not in live_object.kind], rng
        )
        pulumi_objects = choose_one_per_kind(
            [live_object for live_object in list_pulumi_objects(mesh) if live_object.kind != "Namespace"], rng
        )
        for live_object in (*pulumi_objects, *helm_objects):
            delete_object(mesh, live_object)

        preview = preview_with_refresh(mesh)
        mesh.up("--refresh")

        for live_object in helm_objects:
            assert f"{live_object.kind} {live_object.name} is missing" in preview, live_object
        for live_object in (*pulumi_objects, *helm_objects):
            assert wait_until(lambda live_object=live_object: object_exists(mesh, live_object)), live_object  # type: ignore[misc]
        assert_repaired(mesh)


def object_exists(mesh: StackUnderTest, live_object: LiveObject) -> bool:
    """Return whether the object exists in its cluster."""
    return bool(mesh.kubectl(live_object.context, "get", *live_object.arguments, "--ignore-not-found", "-o", "name"))


def test_edited_objects_are_reported_and_reset(
    mesh: StackUnderTest, faults: FaultOptions, rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(1 + faults.moments // 10):
        pulumi_objects = choose_one_per_kind(
            [live_object for live_object in list_pulumi_objects(mesh) if live_object.kind in PULUMI_EDITS], rng
        )
        helm_objects = choose_one_per_kind(
            [live_object for live_object in list_helm_objects(mesh) if live_object.kind in HELM_EDITS], rng
        )
        for live_object in pulumi_objects:
            edit_object(mesh, live_object, PULUMI_EDITS[live_object.kind])
        for live_object in helm_objects:
            edit_object(mesh, live_object, HELM_EDITS[live_object.kind])

        monkeypatch.setitem(mesh.environment, FORCE_VARIABLE, "true")
        preview = preview_with_refresh(mesh)
        mesh.up("--refresh")
        monkeypatch.delitem(mesh.environment, FORCE_VARIABLE)

        for live_object in helm_objects:
            assert re.search(f"{live_object.kind} {re.escape(live_object.name)}: \\S", preview), live_object
        assert_repaired(mesh)


@pytest.mark.usefixtures("at_length")
def test_conflicting_edit_is_reported_and_reset_only_with_force(
    mesh: StackUnderTest, rng: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = rng.choice([link for link in list_pulumi_objects(mesh) if link.kind == "Link"])
    edit_object(mesh, link, PULUMI_EDITS["Link"])

    with pytest.raises(PulumiCommandError):
        preview_with_refresh(mesh)
    output = mesh.output.read_text()
    monkeypatch.setitem(mesh.environment, FORCE_VARIABLE, "true")
    mesh.up("--refresh")
    monkeypatch.delitem(mesh.environment, FORCE_VARIABLE)

    assert 'conflict with "somebody"' in output
    assert ".spec.gatewayPort" in output
    assert_repaired(mesh)


@pytest.mark.usefixtures("at_length")
def test_deleted_namespace_is_created_again_with_its_objects(mesh: StackUnderTest) -> None:
    context = next(iter(mesh.contexts.values()))
    mesh.kubectl(context, "delete", "namespace", "linkerd-multicluster", "--wait=true")

    mesh.up("--refresh")

    assert_repaired(mesh)
