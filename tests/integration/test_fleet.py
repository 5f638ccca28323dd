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
from tests.helpers.lab_stack import Deployment, brought_up, comes_true, everything
from tests.helpers.lab_stacks import PAIR, full_mesh

pytestmark = pytest.mark.lab("west", "east", "north", "ctx-2", minutes=5)

TWO = full_mesh("west", "north")
THREE = full_mesh("west", "north", south={"context": "ctx-2"})


@pytest.fixture(scope="module")
def fleet(lab: StateDir, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A full mesh of two clusters."""
    with brought_up(lab, tmp_path_factory.mktemp("fleet"), "fleet", TWO) as deployment:
        yield deployment


def _without(config: dict[str, Any], name: str) -> dict[str, Any]:
    """A full mesh without one of its clusters."""
    return full_mesh(**{key: value for key, value in config["clusters"].items() if key != name})


def _saying(config: dict[str, Any], name: str, reachable: bool | str) -> dict[str, Any]:
    """The same configuration, with a cluster's reachability declared."""
    found = copy.deepcopy(config)
    found["clusters"][name] = {**found["clusters"][name], "reachable": reachable}
    return found


def _own(deployment: Deployment, context: str) -> dict[str, Any]:
    """What an API server has, but for the endpoints by which the mirrors say that a gateway is down."""
    found = everything(deployment, context)
    return {key: value for key, value in found.items() if not key.startswith(("endpoints", "pods"))}


def _start(lab: StateDir, name: str) -> None:
    lifecycle.start(lab, [name], load_balancers={}, chart_folders=[], timeout=120, say=print)


def _resources(deployment: Deployment) -> dict[str, Any]:
    """What the state has of each resource by URN, without what every run reads or finds anew."""
    # A secret's text is another one each time that it is encrypted.
    state = json.loads(deployment.state, object_hook=lambda item: "[secret]" if "ciphertext" in item else item)
    resources = state["checkpoint"]["latest"]["resources"]
    return {
        resource["urn"]: (resource.get("inputs"), resource.get("outputs"))
        for resource in resources
        if not resource.get("external") and not resource["type"].startswith("pulumi:providers:pulumi-python")
    }


def test_adding_a_cluster_touches_nothing_but_itself_and_its_links(fleet: Deployment) -> None:
    names = [urn.rsplit("::", 1)[1] for urn in _resources(fleet) if "-export-" not in urn]
    per_cluster = sum(name == "north" or name.startswith("north-") for name in names)
    per_link = sum(name.startswith("link-west-to-north") for name in names)
    fleet.configure(THREE)

    changes = fleet.changes()

    exports = {name: op for name, op in changes.items() if "-export-" in name}
    own = {name: op for name, op in changes.items() if " south" in name and name not in exports}
    links = {name: op for name, op in changes.items() if " link-" in name and "south" in name}
    assert set(changes) == {*own, *links, *exports}
    assert set(own.values()) == set(links.values()) == set(exports.values()) == {"create"}
    assert len(exports) == 4, "what each exports, for each that is linked to it"
    assert len(own) == per_cluster
    assert len(links) == 4 * per_link


def test_a_full_mesh_of_three_clusters_passes_all_checks(fleet: Deployment) -> None:
    fleet.before["ctx-2"] = everything(fleet, "ctx-2")
    fleet.configure(THREE)
    fleet.up()

    rows = fleet.rows()
    assert [row for row in rows if not row.passed] == []
    assert len(rows) == 3 * 3 + 2 * 6
    fleet.up("--expect-no-changes")


def test_a_cluster_that_is_down_undeclared_is_one_error_and_nothing_is_touched(
    lab: StateDir, fleet: Deployment
) -> None:
    lifecycle.stop(lab, ["north"], delete=False)
    there, state = _own(fleet, "west"), _resources(fleet)
    fleet.configure({**THREE, "workloads": []})

    printed = fleet.failing_up()

    assert "clusters.north: https://127.0.0.1:" in printed
    assert "set clusters.north.reachable: false" in printed
    assert "Traceback" not in printed
    assert _own(fleet, "west") == there
    assert _resources(fleet) == state


def test_a_cluster_that_is_declared_down_is_kept_while_the_others_go_on(
    fleet: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _resources(fleet)
    fleet.output.write_text("")
    config = _saying(THREE, "north", False)
    config["workloads"] = [{"podinfo": {"exported": ["north", "south"]}}]
    fleet.configure(config)

    exports = {f"ExportCleanup west-test-podinfo-service-export-{source}" for source in ("north", "south")}
    assert fleet.changes() == {"Service west-test-podinfo-service": "update", **dict.fromkeys(exports, "delete")}
    fleet.up()

    after = _resources(fleet)
    changed = {urn.rsplit("::", 1)[1] for urn in before if before[urn] != after.get(urn)}
    gone = {name.removeprefix("Export ") for name in exports}
    assert changed == {"west-test-podinfo-service", "multicluster-mesh-fleet", *gone}
    assert not fleet.exists("ctx-2", "service", "podinfo-west", "test"), "west exports no more"
    assert fleet.exists("ctx-2", "service", "podinfo-north", "test"), "what is pending stays as it is"
    with fleet.engine() as engine:
        links = engine.outputs()["links"]
    assert {name for name, link in links.items() if link == "pending"} == {name for name in links if "north" in name}
    assert "clusters.north is declared unreachable" in fleet.output.read_text()
    # Linkerd's own check can't know that north is meant to be down; whatever else it looks at is well.
    monkeypatch.setattr("hack.make.check.PATIENCE", 10)
    failed = [row for row in fleet.rows() if not row.passed]
    assert {row.check for row in failed} == {"linkerd multicluster check"}
    assert all("north" in fault for row in failed for fault in row.detail.split("; × "))
    fleet.up("--expect-no-changes")


def test_back_again_it_catches_up(lab: StateDir, fleet: Deployment) -> None:
    changed = {**THREE, "workloads": [{"podinfo": {"exported": ["west", "south"]}}]}
    fleet.configure(_saying(changed, "north", False))
    fleet.up()
    _start(lab, "north")
    fleet.configure(changed)

    exports = {f"ExportCleanup north-test-podinfo-service-export-{source}" for source in ("west", "south")}
    assert fleet.changes() == {"Service north-test-podinfo-service": "update", **dict.fromkeys(exports, "delete")}
    fleet.up()

    # The mirrors of the others find north again by and by.
    assert comes_true(lambda: not fleet.exists("west", "service", "podinfo-north", "test"), 120)
    assert [row for row in fleet.rows() if not row.passed] == []


def test_one_removed_from_the_middle_leaves_the_others_as_they_were(fleet: Deployment) -> None:
    fleet.configure(THREE)
    fleet.up()
    fleet.configure(_without(THREE, "north"))
    assert {op for op in fleet.changes().values() if op != "update"} == {"delete"}
    fleet.up()

    assert everything(fleet, "north") == fleet.before["north"]
    assert [row for row in fleet.rows() if not row.passed] == []


def test_after_it_all_destroy_leaves_nothing(fleet: Deployment) -> None:
    fleet.destroy()

    for context in ("west", "ctx-2"):
        comes_true(partial(fleet.is_as_before, context))
        assert everything(fleet, context) == fleet.before[context]


@pytest.fixture(scope="module")
def halved(lab: StateDir, fleet: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two clusters, one of which died in the middle of the first `up`."""
    assert not fleet.has_resources
    deployment = Deployment(lab, tmp_path_factory.mktemp("halved"), "halved", PAIR)
    deployment.before = {"east": everything(deployment, "east")}
    # Helm would wait five minutes for what is no longer there.
    with deployment.killed_up():
        begun = ("deployment", "linkerd-identity", "linkerd")
        assert comes_true(lambda: deployment.exists("north", *begun), 60), "the control plane never began"
        lifecycle.stop(lab, ["north"], delete=False)
    yield deployment
    if deployment.has_resources:
        deployment.destroy()


def test_a_cluster_that_died_during_up_is_declared_down_and_the_other_is_finished(halved: Deployment) -> None:
    halved.configure(_saying(PAIR, "north", False))
    halved.up()

    assert [row for row in halved.rows() if not row.passed] == []
    assert not halved.exists("east", "links.multicluster.linkerd.io", "north", "linkerd-multicluster")
    halved.up("--expect-no-changes")


def test_once_it_runs_again_up_finishes_it_too(lab: StateDir, halved: Deployment) -> None:
    _start(lab, "north")
    halved.configure(PAIR)
    halved.up()

    assert [row for row in halved.rows() if not row.passed] == []
    halved.up("--expect-no-changes")


def test_a_cluster_that_never_comes_back_is_forgotten_and_destroy_works(lab: StateDir, halved: Deployment) -> None:
    lifecycle.stop(lab, ["north"], delete=True)
    try:
        halved.configure(_saying(PAIR, "north", "never"))
        halved.up()
        halved.configure(full_mesh("east"))
        halved.up()

        of_north = ("--all-namespaces", "-l", "mirror.linkerd.io/cluster-name=north")
        for kind in ("services", "deployments", "clusterroles"):
            assert halved.objects("east", kind, *of_north) == [], kind
        assert not halved.exists("east", "secret", "cluster-credentials-north", "linkerd-multicluster")
        assert not any("north" in urn for urn in _resources(halved))
        assert [row for row in halved.rows() if not row.passed] == []
        halved.destroy()
        comes_true(partial(halved.is_as_before, "east"))
        assert everything(halved, "east") == halved.before["east"]
    finally:
        _start(lab, "north")


def test_a_cluster_that_is_down_from_the_start_waits_with_its_links(lab: StateDir, tmp_path: Path) -> None:
    lifecycle.stop(lab, ["north"], delete=False)
    try:
        deployment = Deployment(lab, tmp_path, "waiting", _saying(PAIR, "north", False))
        deployment.up()

        assert [row for row in deployment.rows() if not row.passed] == []
        with deployment.engine() as engine:
            assert set(engine.outputs()["links"].values()) == {"pending"}
        deployment.destroy()
    finally:
        _start(lab, "north")
