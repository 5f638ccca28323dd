"""A mesh that grows, and clusters of it that are down: for a while, unnoticed, in the middle of an `up`, for ever."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hack.lab import lifecycle
from hack.lab.state_dir import StateDir
from tests.helpers.lab_stack import LabStack, deploy, list_all_objects, wait_until
from tests.helpers.stack_configs import PAIR, full_mesh_config

pytestmark = pytest.mark.lab("west", "east", "north", "ctx-2", minutes=5)

TWO_CLUSTERS = full_mesh_config("west", "north")
THREE_CLUSTERS = full_mesh_config("west", "north", south={"context": "ctx-2"})


@pytest.fixture(scope="module")
def fleet(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """A full mesh of two clusters."""
    with deploy(lab, tmp_path_factory.mktemp("fleet"), "fleet", TWO_CLUSTERS) as deployment:
        yield deployment


def _without_cluster(config: dict[str, Any], name: str) -> dict[str, Any]:
    """A full mesh without one of its clusters."""
    return full_mesh_config(**{key: value for key, value in config["clusters"].items() if key != name})


def _with_reachability(config: dict[str, Any], name: str, reachable: bool | str) -> dict[str, Any]:
    """The same configuration, with a cluster's reachability declared."""
    found = copy.deepcopy(config)
    found["clusters"][name] = {**found["clusters"][name], "reachable": reachable}
    return found


def _list_stable_objects(deployment: LabStack, context: str) -> dict[str, Any]:
    """What an API server has, but for the endpoints by which the mirrors say that a gateway is down."""
    found = list_all_objects(deployment, context)
    return {key: value for key, value in found.items() if not key.startswith(("endpoints", "pods"))}


def _start_cluster(lab: StateDir, name: str) -> None:
    lifecycle.start(lab, [name], load_balancers={}, chart_folders=[], timeout=120, say=print)


def _read_resources(deployment: LabStack) -> dict[str, Any]:
    """What the state has of each resource by URN, without what every run reads or finds anew."""
    # A secret's text is another one each time that it is encrypted.
    state = json.loads(deployment.state, object_hook=lambda item: "[secret]" if "ciphertext" in item else item)
    resources = state["checkpoint"]["latest"]["resources"]
    return {
        resource["urn"]: (resource.get("inputs"), resource.get("outputs"))
        for resource in resources
        if not resource.get("external") and not resource["type"].startswith("pulumi:providers:pulumi-python")
    }


def test_adding_a_cluster_changes_only_it_and_its_links(fleet: LabStack) -> None:
    names = [urn.rsplit("::", 1)[1] for urn in _read_resources(fleet) if "-export-" not in urn]
    per_cluster = sum(name == "north" or name.startswith("north-") for name in names)
    per_link = sum(name.startswith("link-west-to-north") for name in names)
    fleet.configure(THREE_CLUSTERS)

    changes = fleet.preview_changes()

    exports = {name: op for name, op in changes.items() if "-export-" in name}
    own = {name: op for name, op in changes.items() if " south" in name and name not in exports}
    links = {name: op for name, op in changes.items() if " link-" in name and "south" in name}
    assert set(changes) == {*own, *links, *exports}
    assert set(own.values()) == set(links.values()) == set(exports.values()) == {"create"}
    assert len(exports) == 4, "what each exports, for each that is linked to it"
    assert len(own) == per_cluster
    assert len(links) == 4 * per_link


def test_full_mesh_of_three_clusters_passes_all_checks(fleet: LabStack) -> None:
    fleet.objects_before["ctx-2"] = list_all_objects(fleet, "ctx-2")
    fleet.configure(THREE_CLUSTERS)
    fleet.up()

    rows = fleet.run_checks()
    assert [row for row in rows if not row.passed] == []
    assert len(rows) == 3 * 3 + 2 * 6
    fleet.up("--expect-no-changes")


def test_undeclared_unreachable_cluster_is_one_error_without_changes(lab: StateDir, fleet: LabStack) -> None:
    lifecycle.stop(lab, ["north"], delete=False)
    there, state = _list_stable_objects(fleet, "west"), _read_resources(fleet)
    fleet.configure({**THREE_CLUSTERS, "workloads": []})

    printed = fleet.up_expecting_failure()

    assert "clusters.north: https://127.0.0.1:" in printed
    assert "set clusters.north.reachable: false" in printed
    assert "Traceback" not in printed
    assert _list_stable_objects(fleet, "west") == there
    assert _read_resources(fleet) == state


def test_declared_unreachable_cluster_is_retained_while_others_update(
    fleet: LabStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _read_resources(fleet)
    fleet.output.write_text("")
    config = _with_reachability(THREE_CLUSTERS, "north", False)
    config["workloads"] = [{"podinfo": {"exported": ["north", "south"]}}]
    fleet.configure(config)

    exports = {f"ExportCleanup west-test-podinfo-service-export-{source}" for source in ("north", "south")}
    assert fleet.preview_changes() == {
        "Service west-test-podinfo-service": "update",
        **dict.fromkeys(exports, "delete"),
    }
    fleet.up()

    after = _read_resources(fleet)
    changed = {urn.rsplit("::", 1)[1] for urn in before if before[urn] != after.get(urn)}
    gone = {name.removeprefix("Export ") for name in exports}
    assert changed == {"west-test-podinfo-service", "multicluster-mesh-fleet", *gone}
    assert not fleet.has_object("ctx-2", "service", "podinfo-west", "test"), "west exports no more"
    assert fleet.has_object("ctx-2", "service", "podinfo-north", "test"), "what is pending stays as it is"
    with fleet.engine() as engine:
        links = engine.outputs()["links"]
    assert {name for name, link in links.items() if link == "pending"} == {name for name in links if "north" in name}
    assert "clusters.north is declared unreachable" in fleet.output.read_text()
    # Linkerd's own check can't know that north is meant to be down; whatever else it looks at is well.
    monkeypatch.setattr("hack.make.check.CHECK_TIMEOUT_S", 10)
    failed = [row for row in fleet.run_checks() if not row.passed]
    assert {row.check for row in failed} == {"linkerd multicluster check"}
    assert all("north" in fault for row in failed for fault in row.detail.split("; × "))
    fleet.up("--expect-no-changes")


def test_returning_cluster_receives_pending_changes(lab: StateDir, fleet: LabStack) -> None:
    changed = {**THREE_CLUSTERS, "workloads": [{"podinfo": {"exported": ["west", "south"]}}]}
    fleet.configure(_with_reachability(changed, "north", False))
    fleet.up()
    _start_cluster(lab, "north")
    fleet.configure(changed)

    exports = {f"ExportCleanup north-test-podinfo-service-export-{source}" for source in ("west", "south")}
    assert fleet.preview_changes() == {
        "Service north-test-podinfo-service": "update",
        **dict.fromkeys(exports, "delete"),
    }
    fleet.up()

    # The mirrors of the others find north again by and by.
    assert wait_until(lambda: not fleet.has_object("west", "service", "podinfo-north", "test"), 120)
    assert [row for row in fleet.run_checks() if not row.passed] == []


def test_removing_a_cluster_leaves_the_others_unchanged(fleet: LabStack) -> None:
    fleet.configure(THREE_CLUSTERS)
    fleet.up()
    fleet.configure(_without_cluster(THREE_CLUSTERS, "north"))
    assert {op for op in fleet.preview_changes().values() if op != "update"} == {"delete"}
    fleet.up()

    assert list_all_objects(fleet, "north") == fleet.objects_before["north"]
    assert [row for row in fleet.run_checks() if not row.passed] == []


def test_destroy_leaves_nothing(fleet: LabStack) -> None:
    fleet.destroy()

    for context in ("west", "ctx-2"):
        wait_until(partial(fleet.is_restored, context))
        assert list_all_objects(fleet, context) == fleet.objects_before[context]


@pytest.fixture(scope="module")
def halved(lab: StateDir, fleet: LabStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """Two clusters, one of which died in the middle of the first `up`."""
    assert not fleet.has_resources
    deployment = LabStack(lab, tmp_path_factory.mktemp("halved"), "halved", PAIR)
    deployment.objects_before = {"east": list_all_objects(deployment, "east")}
    # Helm would wait five minutes for what is no longer there.
    with deployment.interrupted_up():
        begun = ("deployment", "linkerd-identity", "linkerd")
        assert wait_until(lambda: deployment.has_object("north", *begun), 60), "the control plane never began"
        lifecycle.stop(lab, ["north"], delete=False)
    yield deployment
    if deployment.has_resources:
        deployment.destroy()


def test_up_finishes_without_cluster_that_failed_during_up(halved: LabStack) -> None:
    halved.configure(_with_reachability(PAIR, "north", False))
    halved.up()

    assert [row for row in halved.run_checks() if not row.passed] == []
    assert not halved.has_object("east", "links.multicluster.linkerd.io", "north", "linkerd-multicluster")
    halved.up("--expect-no-changes")


def test_up_finishes_cluster_that_runs_again(lab: StateDir, halved: LabStack) -> None:
    _start_cluster(lab, "north")
    halved.configure(PAIR)
    halved.up()

    assert [row for row in halved.run_checks() if not row.passed] == []
    halved.up("--expect-no-changes")


def test_lost_cluster_is_abandoned_and_destroy_succeeds(lab: StateDir, halved: LabStack) -> None:
    lifecycle.stop(lab, ["north"], delete=True)
    try:
        halved.configure(_with_reachability(PAIR, "north", "never"))
        halved.up()
        halved.configure(full_mesh_config("east"))
        halved.up()

        of_north = ("--all-namespaces", "-l", "mirror.linkerd.io/cluster-name=north")
        for kind in ("services", "deployments", "clusterroles"):
            assert halved.list_objects("east", kind, *of_north) == [], kind
        assert not halved.has_object("east", "secret", "cluster-credentials-north", "linkerd-multicluster")
        assert not any("north" in urn for urn in _read_resources(halved))
        assert [row for row in halved.run_checks() if not row.passed] == []
        halved.destroy()
        wait_until(partial(halved.is_restored, "east"))
        assert list_all_objects(halved, "east") == halved.objects_before["east"]
    finally:
        _start_cluster(lab, "north")


def test_initially_unreachable_cluster_stays_pending_with_its_links(lab: StateDir, tmp_path: Path) -> None:
    lifecycle.stop(lab, ["north"], delete=False)
    try:
        deployment = LabStack(lab, tmp_path, "waiting", _with_reachability(PAIR, "north", False))
        deployment.up()

        assert [row for row in deployment.run_checks() if not row.passed] == []
        with deployment.engine() as engine:
            assert set(engine.outputs()["links"].values()) == {"pending"}
        deployment.destroy()
    finally:
        _start_cluster(lab, "north")
