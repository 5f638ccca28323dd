"""A growing mesh with unreachable clusters: temporarily, undeclared, during an `up`, or indefinitely."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from hack.lab import lifecycle
from hack.lab.state_dir import StateDir
from tests.helpers.stack_configs import PAIR, full_mesh_config
from tests.helpers.stack_under_test import StackUnderTest, deploy, list_all_objects, wait_until

pytestmark = pytest.mark.lab("west", "east", "north", "ctx-2", minutes=5)

TWO_CLUSTERS = full_mesh_config("west", "north")
THREE_CLUSTERS = full_mesh_config("west", "north", south={"context": "ctx-2"})
# Neither the cluster that stays reachable nor the unreachable one exports podinfo any longer.
WITHDRAWN = [{"podinfo": {"exported": ["south"]}}]


@pytest.fixture(scope="module")
def fleet(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Deploy a full mesh of two clusters."""
    with deploy(lab, tmp_path_factory.mktemp("fleet"), "fleet", TWO_CLUSTERS) as lab_stack:
        yield lab_stack


def _without_cluster(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a full mesh without one of its clusters."""
    return full_mesh_config(**{key: value for key, value in config["clusters"].items() if key != name})


def _with_reachability(config: dict[str, Any], name: str, reachable: bool | str) -> dict[str, Any]:
    """Return the configuration with a cluster's declared reachability."""
    changed = copy.deepcopy(config)
    changed["clusters"][name] = {**changed["clusters"][name], "reachable": reachable}
    return changed


def _list_stable_objects(lab_stack: StackUnderTest, context: str) -> dict[str, Any]:
    """Return all objects except pods and endpoints; service mirrors clear endpoints of unavailable gateways."""
    objects = list_all_objects(lab_stack, context)
    return {key: value for key, value in objects.items() if not key.startswith(("endpoints", "pods"))}


def _list_export_resources(cluster: str, *, sources: Sequence[str]) -> list[str]:
    """Return the resources that export podinfo from a cluster to its sources."""
    service = f"{cluster}-test-podinfo-service"
    cleanups = [f"ExportCleanup {service}-export-{source}" for source in sources]
    return [f"ServiceExport {service}-exported", f"Stash {service}-mirrors", *cleanups]


def _start_cluster(lab: StateDir, name: str) -> None:
    lifecycle.start(lab, [name], load_balancers={}, chart_folders=[], timeout=120, report=print)


def _read_resources(lab_stack: StackUnderTest) -> dict[str, Any]:
    """Return inputs and outputs of each resource in the stack state by URN.

    Resources that each run reads again are omitted.
    """
    # Each encryption of a secret yields a different text.
    state = json.loads(lab_stack.state, object_hook=lambda item: "[secret]" if "ciphertext" in item else item)
    resources = state["checkpoint"]["latest"]["resources"]
    return {
        resource["urn"]: (resource.get("inputs"), resource.get("outputs"))
        for resource in resources
        if not resource.get("external") and not resource["type"].startswith("pulumi:providers:pulumi-python")
    }


def test_adding_a_cluster_changes_only_it_and_its_links(fleet: StackUnderTest) -> None:
    names = [urn.rsplit("::", 1)[1] for urn in _read_resources(fleet) if "-export-" not in urn]
    # The records of the mirrors in each source.
    records = dict.fromkeys((f"Stash {name}-test-podinfo-service-mirrors" for name in ("west", "north")), "update")
    per_cluster = sum(name == "north" or name.startswith("north-") for name in names)
    per_link = sum(name.startswith("link-west-to-north") for name in names)
    fleet.configure(THREE_CLUSTERS)

    changes = fleet.preview_changes()

    exports = {name: op for name, op in changes.items() if "-export-" in name}
    cluster_changes = {name: op for name, op in changes.items() if " south" in name and name not in exports}
    links = {name: op for name, op in changes.items() if " link-" in name and "south" in name}
    updates = {name: op for name, op in changes.items() if op == "update"}
    assert updates == {**records, "ClusterIdentities cluster-identities": "update"}
    assert set(changes) == {*cluster_changes, *links, *exports, *updates}
    assert set(cluster_changes.values()) == set(links.values()) == set(exports.values()) == {"create"}
    assert len(exports) == 4, "one per exporting cluster and source"
    assert len(cluster_changes) == per_cluster
    assert len(links) == 4 * per_link


def test_full_mesh_of_three_clusters_passes_all_checks(fleet: StackUnderTest) -> None:
    fleet.objects_before["ctx-2"] = list_all_objects(fleet, "ctx-2")
    fleet.configure(THREE_CLUSTERS)
    fleet.up()

    rows = fleet.run_checks()
    assert [row for row in rows if not row.passed] == []
    assert len(rows) == 3 * 3 + 2 * 6
    fleet.up("--expect-no-changes")


def test_undeclared_unreachable_cluster_is_one_error_without_changes(lab: StateDir, fleet: StackUnderTest) -> None:
    lifecycle.stop(lab, ["north"], delete=False)
    objects, state = _list_stable_objects(fleet, "west"), _read_resources(fleet)
    fleet.configure({**THREE_CLUSTERS, "workloads": []})

    output = fleet.up_expecting_failure()

    assert "clusters.north: https://127.0.0.1:" in output
    assert "set clusters.north.reachable: false" in output
    assert "Traceback" not in output
    assert _list_stable_objects(fleet, "west") == objects
    assert _read_resources(fleet) == state


def test_declared_unreachable_cluster_is_retained_while_others_update(
    fleet: StackUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _read_resources(fleet)
    fleet.output.write_text("")
    config = _with_reachability(THREE_CLUSTERS, "north", False)
    config["workloads"] = WITHDRAWN
    fleet.configure(config)

    exports = _list_export_resources("west", sources=("north", "south"))
    assert fleet.preview_changes() == dict.fromkeys(exports, "delete")
    fleet.up()

    after = _read_resources(fleet)
    changed = {urn.rsplit("::", 1)[1] for urn in before if before[urn] != after.get(urn)}
    deleted_exports = {name.rpartition(" ")[2] for name in exports}
    assert changed == {"multicluster-mesh-fleet", *deleted_exports}
    assert not fleet.has_object("ctx-2", "service", "podinfo-west", "test"), "west still exports podinfo"
    assert fleet.has_object("ctx-2", "service", "podinfo-north", "test"), "a pending mirror was deleted"
    with fleet.engine() as engine:
        links = engine.outputs()["links"]
    assert {name for name, link in links.items() if link == "pending"} == {name for name in links if "north" in name}
    assert "clusters.north: declared unreachable" in fleet.output.read_text()
    # `linkerd multicluster check` fails for north only, because it does not consider the declaration.
    monkeypatch.setattr("hack.make.check.CHECK_TIMEOUT_S", 10)
    failed = [row for row in fleet.run_checks() if not row.passed]
    assert {row.check for row in failed} == {"linkerd multicluster check"}
    assert all("north" in fault for row in failed for fault in row.detail.split("; × "))
    fleet.up("--expect-no-changes")


def test_returning_cluster_receives_pending_changes(lab: StateDir, fleet: StackUnderTest) -> None:
    _start_cluster(lab, "north")
    fleet.configure({**THREE_CLUSTERS, "workloads": WITHDRAWN})

    exports = _list_export_resources("north", sources=("west", "south"))
    assert fleet.preview_changes() == dict.fromkeys(exports, "delete")
    fleet.up()

    # The service mirrors of the others reconnect to north after a while.
    assert wait_until(lambda: not fleet.has_object("west", "service", "podinfo-north", "test"), 120)
    assert [row for row in fleet.run_checks() if not row.passed] == []


def test_removing_a_cluster_leaves_the_others_unchanged(fleet: StackUnderTest) -> None:
    fleet.configure(THREE_CLUSTERS)
    fleet.up()
    fleet.configure(_without_cluster(THREE_CLUSTERS, "north"))
    assert {op for op in fleet.preview_changes().values() if op != "update"} == {"delete"}
    fleet.up()

    assert list_all_objects(fleet, "north") == fleet.objects_before["north"]
    assert [row for row in fleet.run_checks() if not row.passed] == []


def test_initially_unreachable_cluster_stays_pending_with_its_links(lab: StateDir, fleet: StackUnderTest) -> None:
    lifecycle.stop(lab, ["north"], delete=False)
    try:
        fleet.configure(_with_reachability(THREE_CLUSTERS, "north", False))
        fleet.up()

        assert [row for row in fleet.run_checks() if not row.passed] == []
        with fleet.engine() as engine:
            links = engine.outputs()["links"]
        pending = {name for name, link in links.items() if link == "pending"}
        assert pending == {"west-to-north", "south-to-north", "north-to-west", "north-to-south"}
    finally:
        _start_cluster(lab, "north")


def test_destroy_leaves_nothing(fleet: StackUnderTest) -> None:
    fleet.destroy()

    for context in ("west", "ctx-2"):
        wait_until(partial(fleet.is_restored, context))
        assert list_all_objects(fleet, context) == fleet.objects_before[context]


@pytest.fixture(scope="module")
def interrupted_stack(
    lab: StateDir, fleet: StackUnderTest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackUnderTest]:
    """Yield a stack of two clusters, one of which failed during the first `up`."""
    assert not fleet.has_resources
    lab_stack = StackUnderTest(lab, tmp_path_factory.mktemp("halved"), "halved", PAIR)
    lab_stack.objects_before = {"east": list_all_objects(lab_stack, "east")}
    # Without the kill, `up` would wait five minutes for the stopped cluster.
    with lab_stack.interrupted_up():
        control_plane = ("deployment", "linkerd-identity", "linkerd")
        assert wait_until(lambda: lab_stack.has_object("north", *control_plane), 60), (
            "the control plane was never created"
        )
        lifecycle.stop(lab, ["north"], delete=False)
    yield lab_stack
    if lab_stack.has_resources:
        _start_cluster(lab, "north")
        lab_stack.destroy()


def test_up_finishes_without_cluster_that_failed_during_up(interrupted_stack: StackUnderTest) -> None:
    interrupted_stack.configure(_with_reachability(PAIR, "north", False))
    interrupted_stack.up()

    assert [row for row in interrupted_stack.run_checks() if not row.passed] == []
    assert not interrupted_stack.has_object("east", "links.multicluster.linkerd.io", "north", "linkerd-multicluster")
    interrupted_stack.up("--expect-no-changes")


def test_up_finishes_cluster_that_runs_again(lab: StateDir, interrupted_stack: StackUnderTest) -> None:
    _start_cluster(lab, "north")
    interrupted_stack.configure(PAIR)
    interrupted_stack.up()

    assert [row for row in interrupted_stack.run_checks() if not row.passed] == []
    interrupted_stack.up("--expect-no-changes")


def test_lost_cluster_is_abandoned_and_destroy_succeeds(lab: StateDir, interrupted_stack: StackUnderTest) -> None:
    lifecycle.stop(lab, ["north"], delete=True)
    interrupted_stack.configure(_with_reachability(PAIR, "north", "never"))
    interrupted_stack.up()
    interrupted_stack.configure(full_mesh_config("east"))
    interrupted_stack.up()

    north_selector = ("--all-namespaces", "-l", "mirror.linkerd.io/cluster-name=north")
    for kind in ("services", "deployments", "clusterroles"):
        assert interrupted_stack.list_objects("east", kind, *north_selector) == [], kind
    assert not interrupted_stack.has_object("east", "secret", "cluster-credentials-north", "linkerd-multicluster")
    assert not any("north" in urn for urn in _read_resources(interrupted_stack))
    assert [row for row in interrupted_stack.run_checks() if not row.passed] == []
    interrupted_stack.destroy()
    wait_until(partial(interrupted_stack.is_restored, "east"))
    assert list_all_objects(interrupted_stack, "east") == interrupted_stack.objects_before["east"]
