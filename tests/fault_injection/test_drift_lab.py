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
from hack.make.pulumi_cli import PulumiFailed
from mesh.helm import release_storage
from mesh.kube.client import Access, api_client
from mesh.preflight.api import ClusterApi
from tests.helpers.lab_stack import Deployment, brought_up, comes_true
from tests.helpers.lab_stacks import full_mesh
from tests.helpers.options import Faults

pytestmark = pytest.mark.lab(minutes=2)

# Lets Pulumi take back fields that somebody else has written.
FORCE = "PULUMI_K8S_ENABLE_PATCH_FORCE"
# Somebody who isn't kubectl, whose edits Pulumi takes over without being asked.
SOMEBODY = "--field-manager=somebody"
# A field of each kind that the stack makes, and what somebody writes into it.
EDITS: dict[str, dict[str, Any]] = {
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
class Thing:
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
def mesh(lab: StateDir, faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A mesh of all clusters, each linked to each."""
    with brought_up(lab, tmp_path_factory.mktemp("drift"), "drift", full_mesh(*faults.names)) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def chance(faults: Faults) -> Random:
    """Which objects it strikes."""
    return faults.random("drift")


def own(mesh: Deployment) -> list[Thing]:
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
            Thing(
                context=context,
                kind=inputs["kind"],
                api=inputs["apiVersion"],
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
            )
        )
    return found


def of_helm(mesh: Deployment) -> list[Thing]:
    """The objects that Helm has made."""
    found = []
    for context in mesh.contexts.values():
        api = ClusterApi(api_client(Access(context=context, kubeconfig=str(mesh.lab.kubeconfig))), 30)
        secrets = mesh.objects(context, "secrets", "--all-namespaces", "-l", "owner=helm,status=deployed")
        for secret in secrets:
            namespace, release = secret["metadata"]["namespace"], secret["metadata"]["labels"]["name"]
            record = release_storage.read_latest_revision(api, namespace, release)
            assert record is not None
            for body in filter(None, yaml.safe_load_all(record.manifest)):
                metadata = body["metadata"]
                found.append(
                    Thing(
                        context=context,
                        kind=body["kind"],
                        api=body["apiVersion"],
                        namespace=metadata.get("namespace") or "",
                        name=metadata["name"],
                    )
                )
    return found


def one_of_each_kind(things: list[Thing], chance: Random) -> list[Thing]:
    """One of each kind, by chance."""
    kinds = sorted({thing.kind for thing in things})
    return [chance.choice([thing for thing in things if thing.kind == kind]) for kind in kinds]


def edit(mesh: Deployment, thing: Thing, change: dict[str, Any]) -> None:
    """What somebody does to an object."""
    patch = ("--type=merge", SOMEBODY, "-p", json.dumps(change))
    mesh.kubectl(thing.context, "patch", *thing.arguments, *patch)


def delete(mesh: Deployment, thing: Thing) -> None:
    """What somebody does who doesn't know whose it is."""
    mesh.kubectl(thing.context, "delete", *thing.arguments, "--wait=true", "--ignore-not-found")


def printed(mesh: Deployment, *arguments: str) -> str:
    """What a preview with a refresh prints."""
    before = len(mesh.output.read_text())
    with mesh.engine() as engine:
        engine.preview("--refresh", *arguments)
    return mesh.output.read_text()[before:]


def is_whole(mesh: Deployment) -> None:
    """All that the stack has made is there, a second look changes nothing, and all checks pass."""
    mesh.up("--refresh", "--expect-no-changes")
    assert [row for row in mesh.rows() if not row.passed] == []


@pytest.mark.usefixtures("at_length")
def test_a_mesh_that_nobody_touched_has_not_drifted(mesh: Deployment) -> None:
    assert ": drifted:" not in printed(mesh, "--expect-no-changes")


def test_what_was_deleted_is_found_and_made_again(mesh: Deployment, faults: Faults, chance: Random) -> None:
    for _ in range(1 + faults.moments // 10):
        # A namespace takes all that is in it along, and is a test of its own.
        helms = one_of_each_kind([thing for thing in of_helm(mesh) if "CustomResource" not in thing.kind], chance)
        owns = one_of_each_kind([thing for thing in own(mesh) if thing.kind != "Namespace"], chance)
        for thing in (*owns, *helms):
            delete(mesh, thing)

        found = printed(mesh)
        mesh.up("--refresh")

        for thing in helms:
            assert f"{thing.kind} {thing.name} is missing" in found, thing
        for thing in (*owns, *helms):
            assert comes_true(lambda thing=thing: there(mesh, thing)), thing  # type: ignore[misc]
        is_whole(mesh)


def there(mesh: Deployment, thing: Thing) -> bool:
    """Whether a cluster has it."""
    return bool(mesh.kubectl(thing.context, "get", *thing.arguments, "--ignore-not-found", "-o", "name"))


def test_what_was_edited_is_found_and_gets_its_value_back(
    mesh: Deployment, faults: Faults, chance: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(1 + faults.moments // 10):
        owns = one_of_each_kind([thing for thing in own(mesh) if thing.kind in EDITS], chance)
        helms = one_of_each_kind([thing for thing in of_helm(mesh) if thing.kind in HELM_EDITS], chance)
        for thing in owns:
            edit(mesh, thing, EDITS[thing.kind])
        for thing in helms:
            edit(mesh, thing, HELM_EDITS[thing.kind])

        monkeypatch.setitem(mesh.environment, FORCE, "true")
        found = printed(mesh)
        mesh.up("--refresh")
        monkeypatch.delitem(mesh.environment, FORCE)

        for thing in helms:
            assert re.search(f"{thing.kind} {re.escape(thing.name)}: \\S", found), thing
        is_whole(mesh)


@pytest.mark.usefixtures("at_length")
def test_an_edit_by_another_tool_is_refused_without_force_and_named(
    mesh: Deployment, chance: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = chance.choice([thing for thing in own(mesh) if thing.kind == "Link"])
    edit(mesh, thing, EDITS["Link"])

    with pytest.raises(PulumiFailed):
        printed(mesh)
    said = mesh.output.read_text()
    monkeypatch.setitem(mesh.environment, FORCE, "true")
    mesh.up("--refresh")
    monkeypatch.delitem(mesh.environment, FORCE)

    assert 'conflict with "somebody"' in said
    assert ".spec.gatewayPort" in said
    is_whole(mesh)


@pytest.mark.usefixtures("at_length")
def test_a_namespace_that_was_deleted_comes_back_with_all_that_was_in_it(mesh: Deployment) -> None:
    context = next(iter(mesh.contexts.values()))
    mesh.kubectl(context, "delete", "namespace", "linkerd-multicluster", "--wait=true")

    mesh.up("--refresh")

    is_whole(mesh)
