"""Renamed and rebuilt clusters: the plan of the whole program, on the mock engine."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from components.rebuilt_objects import create_missing_object
from components.renamed_resources import list_aliases
from mesh import preflight
from mesh.kube.client import KubeClient
from mesh.pulumi_constants import HELM_RELEASE_TYPE
from mesh.service_facts import ClusterFacts
from mesh.stack_identity import RECORD_TYPE, STACK_RECORD, read_identity
from mesh.stack_state import StateResource, parse_resources
from tests.helpers.mock_engine import Recorder, record_run
from tests.helpers.stack_configs import full_mesh_config, shipped_config

# All component types, both generations of Linkerd, and each kind of exposure.
STACKS: dict[str, dict[str, Any]] = {
    "two-way": shipped_config("dev"),
    "openstack-nks": shipped_config("openstack-nks"),
    "kpaas": shipped_config("kpaas"),
    "east-west": shipped_config("east-west"),
    "emojivoto": shipped_config("emojivoto"),
    "controllers": {**full_mesh_config("west", "east", "north"), "linkerd": {"version": "edge-26.8.3"}},
    "federated": {
        "clusters": {name: {"networks": {"flat": "office"}} for name in ("west", "east")},
        "topology": "full-mesh",
        "linkerd": {"version": "edge-26.8.3"},
        "workloads": [{"podinfo": {"federated": ["west", "east"]}}],
    },
}
SPARE = "a-new-name"

Run = Callable[..., Recorder]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the program with UIDs of the clusters and resources of the stack state."""

    def run_program(
        config: Mapping[str, Any], uids: Mapping[str, str], state: Sequence[StateResource] = ()
    ) -> Recorder:
        with monkeypatch.context() as patch:
            patch.setattr(preflight, "check_stack", lambda *_, **__: ClusterFacts(uids=dict(uids), services={}))
            return record_run(dict(config), [], tmp_path / "kubeconfig", patch, state)

    return run_program


def rename(config: Mapping[str, Any], old: str, new: str, **settings: Any) -> dict[str, Any]:
    """Return a configuration in which a cluster has another name; its context stays the same."""

    def replace(value: Any) -> Any:
        if isinstance(value, dict):
            return {replace(key): replace(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replace(item) for item in value]
        return new if value == old else value

    renamed: dict[str, Any] = replace(copy.deepcopy(dict(config)))
    cluster = config["clusters"][old] or {}
    renamed["clusters"][new] = {**renamed["clusters"][new], "context": cluster.get("context", old), **settings}
    return renamed


def uids_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a UID for each cluster, by its name."""
    return {name: f"{name.encode().hex()[:8]:0<8}-of-{name}" for name in config["clusters"]}


class Plan:
    """Operations that Pulumi would plan, from the registrations and a stack state.

    Args:
        state: resources of the state.
        recorder: registrations of the program.
    """

    def __init__(self, state: Sequence[StateResource], recorder: Recorder) -> None:
        former = {resource.urn: resource for resource in state}
        self.created: list[StateResource] = []
        self.kept: list[tuple[StateResource, StateResource]] = []
        for resource in recorder.to_state_resources():
            aliases = recorder.aliases_of(resource.urn)
            urn = next((urn for urn in (resource.urn, *aliases) if urn in former), None)
            if urn is None:
                self.created.append(resource)
            else:
                self.kept.append((former.pop(urn), resource))
        self.deleted = list(former.values())

    @property
    def identities_of_deleted(self) -> set[tuple[str, ...]]:
        """Return the objects that Pulumi deletes, also because their names change."""
        changed = [old for old, new in self.kept if object_identity(old) != object_identity(new)]
        return set(filter(None, map(object_identity, [*self.deleted, *changed])))

    @property
    def identities_of_created(self) -> set[tuple[str, ...]]:
        """Return the objects that Pulumi creates, also because their names change."""
        changed = [new for old, new in self.kept if object_identity(old) != object_identity(new)]
        return set(filter(None, map(object_identity, [*self.created, *changed])))


def object_identity(resource: StateResource) -> tuple[str, ...] | None:
    """Return cluster, type, namespace and name of an object on a cluster; None for another resource."""
    inputs = resource.inputs
    if resource.type == HELM_RELEASE_TYPE:
        return (inputs["description"].rpartition(" ")[2], resource.type, inputs["namespace"], inputs["name"])
    if not resource.type.startswith("kubernetes:") or "metadata" not in inputs or resource.is_external:
        return None
    metadata = inputs["metadata"]
    if "multicluster-mesh/cluster-uid" not in metadata.get("annotations", {}):
        return None
    uid = metadata["annotations"]["multicluster-mesh/cluster-uid"][:8]
    return (uid, resource.type, metadata.get("namespace", ""), metadata["name"])


# The others take seconds, and are left to `make test`.
_FAST_CASES = {("two-way", "east"), ("controllers", "north")}
CASES = [
    pytest.param(name, cluster, marks=() if (name, cluster) in _FAST_CASES else pytest.mark.thorough)
    for name, config in STACKS.items()
    for cluster in config["clusters"]
]


@pytest.mark.parametrize(("stack", "cluster"), CASES)
def test_renamed_cluster_keeps_every_resource(run: Run, stack: str, cluster: str) -> None:
    config = STACKS[stack]
    uids = uids_of(config)
    state = run(config, uids).to_state_resources()
    renamed = rename(config, cluster, SPARE, renamedFrom=cluster)

    plan = Plan(state, run(renamed, {**uids, SPARE: uids[cluster]}, state))

    assert ([each.urn for each in plan.created], [each.urn for each in plan.deleted]) == ([], [])
    assert plan.identities_of_created & plan.identities_of_deleted == set()
    types = {object_identity(new) for old, new in plan.kept} - {None}
    assert types, "the plan has objects on clusters"


def test_rename_without_setting_would_delete_new_objects(run: Run) -> None:
    config = STACKS["two-way"]
    uids = uids_of(config)
    state = run(config, uids).to_state_resources()

    plan = Plan(state, run(rename(config, "east", SPARE), {**uids, SPARE: uids["east"]}, state))

    assert plan.identities_of_created & plan.identities_of_deleted, "the preflight must refuse this rename"


def test_finished_rename_needs_no_aliases(run: Run) -> None:
    config = rename(STACKS["two-way"], "east", SPARE, renamedFrom="east")
    uids = uids_of(STACKS["two-way"])
    uids[SPARE] = uids["east"]
    state = run(config, uids).to_state_resources()

    recorder = run(config, uids, state)

    assert [each.alias_urns for each in recorder.monitor.registrations if each.alias_urns] == []


def test_interrupted_rename_continues(run: Run) -> None:
    config, uids = STACKS["two-way"], uids_of(STACKS["two-way"])
    state = run(config, uids).to_state_resources()
    renamed, all_uids = rename(config, "east", SPARE, renamedFrom="east"), {**uids, SPARE: uids["east"]}
    complete = run(renamed, all_uids, state)
    finished = {each.urn: each for each in complete.to_state_resources()}
    aliases = {urn: complete.aliases_of(urn) for urn in finished}
    # Every second resource has its new URN already.
    moved = {former[0]: urn for urn, former in aliases.items() if former}
    partial = [
        finished[moved[each.urn]] if index % 2 and each.urn in moved else each for index, each in enumerate(state)
    ]

    plan = Plan(partial, run(renamed, all_uids, partial))

    assert ([each.name for each in plan.created], [each.name for each in plan.deleted]) == ([], [])


@pytest.mark.parametrize("uid", ["65617374-of-east", "0000feed-new"])
def test_interrupted_rename_is_known_from_state(run: Run, uid: str) -> None:
    config, uids = STACKS["two-way"], uids_of(STACKS["two-way"])
    state = run(config, uids).to_state_resources()
    finished = run(rename(config, "east", SPARE, renamedFrom="east"), {**uids, SPARE: uid}, state)
    completed = {each.urn: each for each in finished.to_state_resources()}
    first = {former: completed[urn] for urn in completed for former in finished.aliases_of(urn)}
    types = (RECORD_TYPE, "pulumi:providers:kubernetes")
    partial = [first.get(each.urn, each) if each.type in types else each for each in state]

    unfinished = {
        number: {each.name: each.unfinished_rename for each in read_identity(resources, "p", "s").clusters.values()}
        for number, resources in enumerate((state, partial, list(completed.values())))
    }

    assert unfinished == {
        0: {"west": None, "east": None},
        1: {"west": None, SPARE: "east"},
        2: {"west": None, SPARE: None},
    }


def test_rebuilt_cluster_updates_objects_with_hook(run: Run) -> None:
    config, uids = STACKS["two-way"], uids_of(STACKS["two-way"])
    state = run(config, uids).to_state_resources()

    recorder = run(config, {**uids, "east": "0000feed-new"}, state)

    created = {each.name for each in recorder.monitor.registrations if f"{each.name}-create-missing" in each.hooks[1]}
    plan = Plan(state, recorder)
    on_east = {
        old.name
        for old, _ in plan.kept
        if (object_identity(old) or ("",))[0] == uids["east"][:8] and old.type != HELM_RELEASE_TYPE
    }
    assert created == on_east
    assert {"east-linkerd-namespace", "link-west-to-east-token"} <= created
    descriptions = {old.name: (old.inputs, new.inputs) for old, new in plan.kept if old.type == HELM_RELEASE_TYPE}
    changed = {name for name, (old, new) in descriptions.items() if old["description"] != new["description"]}
    assert changed == {
        "east-linkerd-crds",
        "east-linkerd-control-plane",
        "east-multicluster",
        "link-east-to-west-controller",
    }


def test_part_of_name_equal_to_cluster_is_kept() -> None:
    state = [
        StateResource(urn=f"urn:pulumi:s::p::t::{name}", type="t")
        for name in ("test-test-podinfo", "link-test-to-east", "latest-test")
    ]

    aliases = list_aliases(state, {"test": "prod"})

    assert {name: urns[0].rpartition("::")[2] for (_, name), urns in aliases.items()} == {
        "prod-test-podinfo": "test-test-podinfo",
        "test-prod-podinfo": "test-test-podinfo",
        "prod-prod-podinfo": "test-test-podinfo",
        "link-prod-to-east": "link-test-to-east",
        "latest-prod": "latest-test",
    }


def test_overlapping_former_names_are_all_aliases() -> None:
    names = ("prod-linkerd", "prod-east-linkerd", "prod-east-podinfo", "link-prod-to-prod-east")
    state = [StateResource(urn=f"urn:pulumi:s::p::t::{name}", type="t") for name in names]

    aliases = list_aliases(state, {"prod": "main", "prod-east": "spare"})

    former_names = {name: urns[0].rpartition("::")[2] for (_, name), urns in aliases.items()}
    assert former_names["main-linkerd"] == "prod-linkerd"
    assert former_names["spare-linkerd"] == "prod-east-linkerd"
    assert former_names["main-east-podinfo"] == "prod-east-podinfo", "a sample of prod in the namespace east"
    assert former_names["link-main-to-spare"] == "link-prod-to-prod-east"


def test_state_identifies_stack_and_clusters(run: Run) -> None:
    config, uids = STACKS["two-way"], uids_of(STACKS["two-way"])
    state = run(config, uids).to_state_resources()

    identity = read_identity(state, "renamed-project", "renamed-stack")

    assert identity.field_manager == "multicluster-mesh-test"
    assert identity.id
    assert {name: each.uid for name, each in identity.clusters.items()} == uids
    assert {each.context for each in identity.clusters.values()} == {"west", "east"}
    assert identity.trust_anchor == "certificate of trust-anchor-certificate"
    assert identity.clusters["east"].has_namespace("test")


def test_state_without_records_identifies_stack_by_its_releases(run: Run) -> None:
    config = STACKS["two-way"]
    state = [each for each in run(config, {}).to_state_resources() if each.type != RECORD_TYPE]

    identity = read_identity(state, "renamed-project", "renamed-stack")

    assert (identity.id, identity.field_manager) == (None, "multicluster-mesh-test")
    assert {each.uid for each in identity.clusters.values()} == {None}


def test_state_with_encrypted_values_has_no_objects_of_them() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:text"}
    provider = "urn:pulumi:s::p::pulumi:providers:kubernetes::east"
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "test"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": secret},
        {"apiVersion": "v1", "kind": secret, "metadata": {"name": "test"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "test-"}},
    ]
    entries: list[dict[str, Any]] = [
        {"urn": provider, "type": "pulumi:providers:kubernetes", "inputs": None, "dependencies": None}
    ]
    entries += [
        {"urn": f"urn:x::{n}", "type": "t", "provider": f"{provider}::id", "inputs": each}
        for n, each in enumerate(objects)
    ]
    entries += [{"urn": f"urn:x::{STACK_RECORD}", "type": RECORD_TYPE, "inputs": {"input": secret}}]

    identity = read_identity(parse_resources(entries), "mesh", "prod")

    assert identity.clusters["east"].objects == (objects[0],)
    assert (identity.id, identity.field_manager) == (None, "mesh-prod")


def test_empty_state_has_current_names() -> None:
    identity = read_identity([], "mesh", "prod")

    assert (identity.id, identity.field_manager, identity.clusters) == (None, "mesh-prod", {})


def test_identity_check_depends_on_every_other_resource(run: Run) -> None:
    config, uids = STACKS["two-way"], uids_of(STACKS["two-way"])

    recorder = run(config, uids)

    check = recorder.registration("ClusterIdentities", "cluster-identities")
    others = {each.urn for each in recorder.monitor.registrations if each.custom} - {check.urn}
    assert others <= set(check.dependencies)


@pytest.mark.parametrize(("reachable", "checked"), [(False, {"west", "east"}), ("never", {"west"})])
def test_identity_check_includes_unreachable_clusters(run: Run, reachable: Any, checked: set[str]) -> None:
    config, uids = copy.deepcopy(STACKS["two-way"]), uids_of(STACKS["two-way"])
    state = run(config, uids).to_state_resources()
    config["clusters"]["east"] = {"reachable": reachable}

    recorder = run(config, {"west": uids["west"]}, state)

    inputs = next(each.inputs for each in recorder.resources if each.name == "cluster-identities")
    assert (set(json.loads(inputs["clusters"])), set(inputs["uids"])) == (checked, checked)
    assert inputs["keep"] == ["west", "east"]


def test_new_crd_is_established_before_its_update(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []
    answers = iter([None, {}, {"status": {"conditions": [{"type": "Established", "status": "False"}]}}])
    established = {"status": {"conditions": [{"type": "Established", "status": "True"}]}}

    class Client:
        def get(self, _path: str, _subject: str) -> Any:
            crds = {"name": "customresourcedefinitions", "kind": "CustomResourceDefinition", "namespaced": False}
            return {"resources": [crds]}

        def request(self, method: str, _path: str, **_: Any) -> Any:
            requests.append(method)
            return next(answers, established)

    monkeypatch.setattr(time, "sleep", lambda _: None)
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x.y"}}

    create_missing_object(cast("KubeClient", Client()), body, "mesh-dev")

    assert requests == ["GET", "PATCH", "GET", "GET"]
