"""What was deleted or edited by hand in a cluster: a refresh finds it, and `up --refresh` mends it."""

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
from tests.helpers.lab_stack import LabStack, deploy, wait_until
from tests.helpers.options import FaultOptions
from tests.helpers.stack_configs import full_mesh_config

pytestmark = pytest.mark.lab(minutes=2)

# Lets Pulumi take back fields that somebody else has written.
FORCE_VARIABLE = "PULUMI_K8S_ENABLE_PATCH_FORCE"
# Somebody who isn't kubectl, whose edits Pulumi takes over without being asked.
FOREIGN_FIELD_MANAGER = "--field-manager=somebody"
# A field of each kind that the stack makes, and what somebody writes into it.
PULUMI_EDITS: dict[str, dict[str, Any]] = {
    "Namespace": {"metadata": {"labels": {"app.kubernetes.io/part-of": "edited"}}},
    "Secret": {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "edited"}}},
    "Link": {"spec": {"gatewayPort": "4999"}},
    "Deployment": {"spec": {"replicas": 3}},
    "Service": {"spec": {"ports": [{"port": 9898, "name": "edited"}]}},
    "ServiceAccount": {"metadata": {"annotations": {"pulumi.com/patchFieldManager": "edited"}}},
}
# Those of Helm's, each with a field of it.
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
    """An object of a cluster that the stack has made, by itself or through Helm."""

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
def mesh(lab: StateDir, faults: FaultOptions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """A mesh of all clusters, each linked to each."""
    with deploy(lab, tmp_path_factory.mktemp("drift"), "drift", full_mesh_config(*faults.cluster_names)) as lab_stack:
        yield lab_stack


@pytest.fixture(scope="module")
def chance(faults: FaultOptions) -> Random:
    """Which objects it strikes."""
    return faults.random("drift")


def list_pulumi_objects(mesh: LabStack) -> list[LiveObject]:
    """The objects that Pulumi has made itself."""
    resources = json.loads(mesh.state)["checkpoint"]["latest"]["resources"]
    contexts = mesh.contexts
    found = []
    for resource in resources:
        inputs = resource.get("inputs") or {}
        if not resource["type"].startswith("kubernetes:") or resource.get("external") or "kind" not in inputs:
            continue
        context = contexts[resource["provider"].rpartition("::")[0].rpartition("::")[2]]
        metadata = inputs["metadata"]
        found.append(
            LiveObject(
                context=context,
                kind=inputs["kind"],
                api=inputs["apiVersion"],
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
            )
        )
    return found


def list_helm_objects(mesh: LabStack) -> list[LiveObject]:
    """The objects that Helm has made."""
    found = []
    for context in mesh.contexts.values():
        client = connect(Access(context=context, kubeconfig=str(mesh.lab.kubeconfig)))
        secrets = mesh.list_objects(context, "secrets", "--all-namespaces", "-l", "owner=helm,status=deployed")
        for secret in secrets:
            namespace, release = secret["metadata"]["namespace"], secret["metadata"]["labels"]["name"]
            record = release_storage.latest_revision(client, namespace, release)
            assert record is not None
            for body in filter(None, yaml.safe_load_all(record.manifest)):
                metadata = body["metadata"]
                found.append(
                    LiveObject(
                        context=context,
                        kind=body["kind"],
                        api=body["apiVersion"],
                        namespace=metadata.get("namespace") or "",
                        name=metadata["name"],
                    )
                )
    return found


def choose_one_per_kind(things: list[LiveObject], chance: Random) -> list[LiveObject]:
    """One of each kind, by chance."""
    kinds = sorted({thing.kind for thing in things})
    return [chance.choice([thing for thing in things if thing.kind == kind]) for kind in kinds]


def edit_object(mesh: LabStack, thing: LiveObject, change: dict[str, Any]) -> None:
    """What somebody does to an object."""
    patch = ("--type=merge", FOREIGN_FIELD_MANAGER, "-p", json.dumps(change))
    mesh.kubectl(thing.context, "patch", *thing.arguments, *patch)


def delete_object(mesh: LabStack, thing: LiveObject) -> None:
    """What somebody does who doesn't know whose it is."""
    mesh.kubectl(thing.context, "delete", *thing.arguments, "--wait=true", "--ignore-not-found")


def preview_with_refresh(mesh: LabStack, *arguments: str) -> str:
    """What a preview with a refresh prints."""
    before = len(mesh.output.read_text())
    with mesh.engine() as engine:
        engine.preview("--refresh", *arguments)
    return mesh.output.read_text()[before:]


def assert_repaired(mesh: LabStack) -> None:
    """All that the stack has made is there, a second look changes nothing, and all checks pass."""
    mesh.up("--refresh", "--expect-no-changes")
    assert [row for row in mesh.run_checks() if not row.passed] == []


@pytest.mark.usefixtures("at_length")
def test_untouched_mesh_has_no_drift(mesh: LabStack) -> None:
    assert ": drifted:" not in preview_with_refresh(mesh, "--expect-no-changes")


def test_deleted_objects_are_reported_and_created_again(mesh: LabStack, faults: FaultOptions, chance: Random) -> None:
    for _ in range(1 + faults.moments // 10):
        # A namespace takes all that is in it along, and is a test of its own.
        helms = choose_one_per_kind(
            [thing for thing in list_helm_objects(mesh) if "CustomResource" not in thing.kind], chance
        )
        owns = choose_one_per_kind([thing for thing in list_pulumi_objects(mesh) if thing.kind != "Namespace"], chance)
        for thing in (*owns, *helms):
            delete_object(mesh, thing)

        found = preview_with_refresh(mesh)
        mesh.up("--refresh")

        for thing in helms:
            assert f"{thing.kind} {thing.name} is missing" in found, thing
        for thing in (*owns, *helms):
            assert wait_until(lambda thing=thing: object_exists(mesh, thing)), thing  # type: ignore[misc]
        assert_repaired(mesh)


def object_exists(mesh: LabStack, thing: LiveObject) -> bool:
    """Whether a cluster has it."""
    return bool(mesh.kubectl(thing.context, "get", *thing.arguments, "--ignore-not-found", "-o", "name"))


def test_edited_objects_are_reported_and_reset(
    mesh: LabStack, faults: FaultOptions, chance: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(1 + faults.moments // 10):
        owns = choose_one_per_kind([thing for thing in list_pulumi_objects(mesh) if thing.kind in PULUMI_EDITS], chance)
        helms = choose_one_per_kind([thing for thing in list_helm_objects(mesh) if thing.kind in HELM_EDITS], chance)
        for thing in owns:
            edit_object(mesh, thing, PULUMI_EDITS[thing.kind])
        for thing in helms:
            edit_object(mesh, thing, HELM_EDITS[thing.kind])

        monkeypatch.setitem(mesh.environment, FORCE_VARIABLE, "true")
        found = preview_with_refresh(mesh)
        mesh.up("--refresh")
        monkeypatch.delitem(mesh.environment, FORCE_VARIABLE)

        for thing in helms:
            assert re.search(f"{thing.kind} {re.escape(thing.name)}: \\S", found), thing
        assert_repaired(mesh)


@pytest.mark.usefixtures("at_length")
def test_conflicting_edit_is_reported_and_reset_only_with_force(
    mesh: LabStack, chance: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = chance.choice([thing for thing in list_pulumi_objects(mesh) if thing.kind == "Link"])
    edit_object(mesh, thing, PULUMI_EDITS["Link"])

    with pytest.raises(PulumiCommandError):
        preview_with_refresh(mesh)
    said = mesh.output.read_text()
    monkeypatch.setitem(mesh.environment, FORCE_VARIABLE, "true")
    mesh.up("--refresh")
    monkeypatch.delitem(mesh.environment, FORCE_VARIABLE)

    assert 'conflict with "somebody"' in said
    assert ".spec.gatewayPort" in said
    assert_repaired(mesh)


@pytest.mark.usefixtures("at_length")
def test_deleted_namespace_is_created_again_with_its_objects(mesh: LabStack) -> None:
    context = next(iter(mesh.contexts.values()))
    mesh.kubectl(context, "delete", "namespace", "linkerd-multicluster", "--wait=true")

    mesh.up("--refresh")

    assert_repaired(mesh)
