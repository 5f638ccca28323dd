"""A ClusterMesh of which a cluster can't be reached, on a recording engine: it stays as it is, and so do the others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.mock_engine import Recorder, Run
from tests.unit.test_clustermesh import ALL, THREE, TWO, ciliums, mesh, peers, values

STATES = pytest.mark.parametrize("reachable", [False, "never"])


def away(config: dict[str, Any], cluster: str, reachable: Any = False) -> dict[str, Any]:
    clusters = config["clusters"]
    return {**config, "clusters": {**clusters, cluster: {**clusters[cluster], "reachable": reachable}}}


def requests(recorder: Recorder) -> list[str]:
    """What is asked for; a resource that is asked for twice ends an update."""
    return sorted(each.urn for each in recorder.monitor.asked if each.type != "pulumi:pulumi:Stack")


@STATES
def test_the_others_are_as_they_were_and_everything_is_asked_for_once(run: Run, reachable: Any) -> None:
    before = run(THREE)

    found = run(away(THREE, "north", reachable), state=before)

    assert requests(found) == requests(before)
    assert values(found) == {name: each for name, each in values(before).items() if name != "north"}
    for name in ("west", "east"):
        assert found.asked("Release", f"{name}-cilium").ignore_changes == ()
        assert ciliums(found)[f"{name}-cilium"] == ciliums(before)[f"{name}-cilium"]
    assert found.outputs["clustermesh"] == before.outputs["clustermesh"]
    kept = found.asked("Release", "north-cilium")
    assert kept.ignore_changes == ("*",)
    assert kept.retain_on_delete is (reachable == "never")


def test_where_the_stack_file_or_a_load_balancer_says_an_address_it_is_still_that(run: Run) -> None:
    before = run(ALL)

    found = run(away(away(ALL, "east"), "north"), state=before)

    assert requests(found) == requests(before)
    assert peers(found)["west"] == peers(before)["west"]


def test_the_port_of_one_that_is_away_is_the_one_that_it_has(run: Run) -> None:
    moved = {**THREE, "cilium": {**THREE["cilium"], "nodePort": 31000}}

    told = peers(run(away(moved, "north"), state=run(THREE)))["west"]

    assert {each["name"]: each["port"] for each in told} == {"east": 31000, "north": 32379}


def test_one_that_was_never_there_is_told_to_nobody_unless_its_address_is_given(run: Run) -> None:
    given = {"reachable": "never", "cilium": {"id": 8, "addresses": ["192.0.2.77"]}}
    config = away(THREE, "north")

    told = peers(run({**config, "clusters": {**config["clusters"], "lost": given}}, state=run(TWO)))

    lost = {"name": "lost", "port": 32379, "ips": ["192.0.2.77"]}
    assert told == {name: sorted([*each, lost], key=lambda one: one["name"]) for name, each in peers(run(TWO)).items()}


def test_a_cluster_that_leaves_while_another_is_away_leaves_with_all_that_is_its(run: Run) -> None:
    config = away(THREE, "north")
    del config["clusters"]["east"]

    found = run(config, state=run(THREE))

    assert not [each.name for each in found.monitor.asked if each.name.startswith("east")]
    assert [each["name"] for each in peers(found)["west"]] == ["north"]


def test_a_mesh_that_nobody_wants_any_more_is_kept_for_the_one_that_is_away(run: Run) -> None:
    before = run(TWO)
    config: dict[str, Any] = {"clusters": {"west": {}, "east": {"reachable": False}}}

    found = run(config, state=before)

    asked = requests(found)
    assert len(asked) == len(set(asked))
    assert {urn for urn in requests(before) if urn.rpartition("::")[2].startswith("east")} <= set(asked)
    assert not ciliums(found)


@pytest.fixture(scope="module")
def both(run: Run) -> Recorder:
    """Both meshes on the same clusters."""
    config = {
        **mesh({"hubble": False}, west=1, east=2),
        "linkerd": {"cni": True},
        "links": [{"source": "west", "target": "east"}],
        "extensions": {"ingressNginx": ["east"], "metallb": {"pools": {"west": ["192.0.2.1-192.0.2.9"]}}},
        "workloads": [{"podinfo": {"clusters": ["west"], "exported": []}}, {"userlist": {"clusters": ["west"]}}],
    }
    return run(config)


@pytest.mark.parametrize(
    "name", ["west-linkerd-crds", "east-linkerd-crds", "west-cni", "west-metallb", "east-ingress-nginx"]
)
def test_what_needs_a_network_waits_for_it(both: Recorder, name: str) -> None:
    assert f"ReleaseDrift {name.partition('-')[0]}-cilium-drift" in both.before("Release", name)


def test_linkerd_and_samples_wait_for_both(both: Recorder) -> None:
    assert {"ReleaseDrift west-linkerd-crds-drift", "ReleaseDrift west-cni-drift"} <= both.before(
        "Release", "west-linkerd-control-plane"
    )
    deployments = both.of("Deployment")
    assert deployments.keys() == {"west-test-podinfo", "west-song-userlist", "west-song-userlist-curltest"}
    for name, each in deployments.items():
        assert {"ReleaseDrift west-cilium-drift", "ReleaseDrift west-linkerd-control-plane-drift"} <= both.before(
            "Deployment", name
        )
        assert each["spec"]["template"]["metadata"]["annotations"] == {"linkerd.io/inject": "enabled"}
    for each in values(both).values():
        assert (each["cni"], each["socketLB"]) == ({"exclusive": False}, {"hostNamespaceOnly": True})
    assert both.outputs["clusters"]["west"].keys() >= {"linkerd", "cilium"}


def test_what_a_cluster_may_lack_is_there_without_linkerd_too(run: Run) -> None:
    extensions = {"ingressNginx": ["west"], "metallb": {"pools": {"west": ["192.0.2.1-192.0.2.9"]}}, "gatewayApi": True}
    found = run({**mesh({"hubble": False}, west=1), "extensions": extensions})

    assert found.of("Release").keys() == {"west-cilium", "west-metallb", "west-ingress-nginx"}
    assert found.of(":ConfigFile").keys() == {"west-gateway-api-crds"}
    assert {"ReleaseDrift west-cilium-drift", "L2Advertisement west-metallb-advertisement"} <= found.before(
        "Release", "west-ingress-nginx"
    )
