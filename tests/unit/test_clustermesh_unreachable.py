"""Unreachable clusters of a ClusterMesh, on a mock engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.mock_engine import Recorder, RunProgram
from tests.unit.test_clustermesh import (
    ALL_EXPOSURES,
    THREE_CLUSTERS,
    TWO_CLUSTERS,
    build_stack_config,
    cilium_releases,
    cilium_values,
    peers_by_cluster,
)

pytestmark = pytest.mark.thorough  # runs the whole program for each case

reachable_values = pytest.mark.parametrize("reachable", [False, "never"])


def mark_unreachable(config: dict[str, Any], cluster: str, reachable: Any = False) -> dict[str, Any]:
    clusters = config["clusters"]
    return {**config, "clusters": {**clusters, cluster: {**clusters[cluster], "reachable": reachable}}}


def registered_urns(recorder: Recorder) -> list[str]:
    """Return the URN of every registration. A URN that is registered twice fails an update."""
    return sorted(each.urn for each in recorder.monitor.registrations if each.type != "pulumi:pulumi:Stack")


@reachable_values
def test_reachable_clusters_are_unchanged_and_resources_registered_once(run: RunProgram, reachable: Any) -> None:
    before = run(THREE_CLUSTERS)

    recorder = run(mark_unreachable(THREE_CLUSTERS, "north", reachable), state=before)

    assert registered_urns(recorder) == registered_urns(before)
    assert cilium_values(recorder) == {name: each for name, each in cilium_values(before).items() if name != "north"}
    for name in ("west", "east"):
        assert recorder.registration("Release", f"{name}-cilium").ignore_changes == ()
        assert cilium_releases(recorder)[f"{name}-cilium"] == cilium_releases(before)[f"{name}-cilium"]
    assert recorder.outputs["clustermesh"] == before.outputs["clustermesh"]
    retained = recorder.registration("Release", "north-cilium")
    assert retained.ignore_changes == ("*",)
    assert retained.retain_on_delete is (reachable == "never")


def test_peers_keep_configured_and_load_balancer_addresses(run: RunProgram) -> None:
    before = run(ALL_EXPOSURES)

    recorder = run(mark_unreachable(mark_unreachable(ALL_EXPOSURES, "east"), "north"), state=before)

    assert registered_urns(recorder) == registered_urns(before)
    assert peers_by_cluster(recorder)["west"] == peers_by_cluster(before)["west"]


def test_unreachable_peer_keeps_its_deployed_port(run: RunProgram) -> None:
    config = {**THREE_CLUSTERS, "cilium": {**THREE_CLUSTERS["cilium"], "nodePort": 31000}}

    peers = peers_by_cluster(run(mark_unreachable(config, "north"), state=run(THREE_CLUSTERS)))["west"]

    assert {each["name"]: each["port"] for each in peers} == {"east": 31000, "north": 32379}


def test_unreachable_peer_at_configured_addresses_keeps_deployed_port(run: RunProgram) -> None:
    def build_config(port: int | None = None, **cilium: Any) -> dict[str, Any]:
        north = {"id": 9, "addresses": ["192.0.2.77"], **({"port": port} if port is not None else {})}
        config = build_stack_config({"hubble": False, **cilium}, west=1)
        return {**config, "clusters": {**config["clusters"], "north": {"cilium": north}}}

    def north_port(config: dict[str, Any]) -> int:
        [peer] = peers_by_cluster(run(mark_unreachable(config, "north"), state=before))["west"]
        assert peer["ips"] == ["192.0.2.77"]
        return int(peer["port"])

    before = run(build_config())
    replacing: dict[str, Any] = {"version": "1.18.7", "values": {"kubeProxyReplacement": True}}

    assert north_port(build_config(**replacing)) == 32379
    assert north_port(build_config(**replacing, port=443)) == 443


def test_cluster_never_deployed_is_peer_by_configured_address(run: RunProgram) -> None:
    lost_config = {"reachable": "never", "cilium": {"id": 8, "addresses": ["192.0.2.77"]}}
    config = mark_unreachable(THREE_CLUSTERS, "north")

    peers = peers_by_cluster(
        run({**config, "clusters": {**config["clusters"], "lost": lost_config}}, state=run(TWO_CLUSTERS))
    )

    lost_peer = {"name": "lost", "port": 32379, "ips": ["192.0.2.77"]}
    assert peers == {
        name: sorted([*known_peers, lost_peer], key=lambda peer: peer["name"])
        for name, known_peers in peers_by_cluster(run(TWO_CLUSTERS)).items()
    }


def test_cluster_can_be_removed_while_another_is_unreachable(run: RunProgram) -> None:
    config = mark_unreachable(THREE_CLUSTERS, "north")
    del config["clusters"]["east"]

    recorder = run(config, state=run(THREE_CLUSTERS))

    assert not [each.name for each in recorder.monitor.registrations if each.name.startswith("east")]
    assert [each["name"] for each in peers_by_cluster(recorder)["west"]] == ["north"]


def test_removed_mesh_is_retained_for_unreachable_cluster(run: RunProgram) -> None:
    before = run(TWO_CLUSTERS)
    config: dict[str, Any] = {"clusters": {"west": {}, "east": {"reachable": False}}}

    recorder = run(config, state=before)

    urns = registered_urns(recorder)
    assert len(urns) == len(set(urns))
    assert {urn for urn in registered_urns(before) if urn.rpartition("::")[2].startswith("east")} <= set(urns)
    assert not cilium_releases(recorder)


@pytest.fixture(scope="module")
def both_meshes(run: RunProgram) -> Recorder:
    """Return a run with Linkerd and Cilium on the same clusters."""
    config = {
        **build_stack_config({"hubble": False}, west=1, east=2),
        "linkerd": {"cni": True},
        "links": [{"source": "west", "target": "east"}],
        "extensions": {"ingressNginx": ["east"], "metallb": {"pools": {"west": ["192.0.2.1-192.0.2.9"]}}},
        "workloads": [{"podinfo": {"clusters": ["west"], "exported": []}}, {"userlist": {"clusters": ["west"]}}],
    }
    return run(config)


@pytest.mark.parametrize(
    "name", ["west-linkerd-crds", "east-linkerd-crds", "west-cni", "west-metallb", "east-ingress-nginx"]
)
def test_release_waits_for_cilium_network(both_meshes: Recorder, name: str) -> None:
    assert f"ReleaseDrift {name.partition('-')[0]}-cilium-drift" in both_meshes.dependencies_of("Release", name)


def test_samples_wait_for_linkerd_and_cilium(both_meshes: Recorder) -> None:
    assert {"ReleaseDrift west-linkerd-crds-drift", "ReleaseDrift west-cni-drift"} <= both_meshes.dependencies_of(
        "Release", "west-linkerd-control-plane"
    )
    deployments = both_meshes.inputs_of("Deployment")
    assert deployments.keys() == {"west-test-podinfo", "west-song-userlist", "west-song-userlist-curltest"}
    for name, each in deployments.items():
        assert {
            "ReleaseDrift west-cilium-drift",
            "ReleaseDrift west-linkerd-control-plane-drift",
        } <= both_meshes.dependencies_of("Deployment", name)
        assert each["spec"]["template"]["metadata"]["annotations"] == {"linkerd.io/inject": "enabled"}
    for each in cilium_values(both_meshes).values():
        assert (each["cni"], each["socketLB"]) == ({"exclusive": False}, {"hostNamespaceOnly": True})
    assert both_meshes.outputs["clusters"]["west"].keys() >= {"linkerd", "cilium"}


def test_addons_are_installed_without_linkerd(run: RunProgram) -> None:
    extensions = {"ingressNginx": ["west"], "metallb": {"pools": {"west": ["192.0.2.1-192.0.2.9"]}}, "gatewayApi": True}
    recorder = run({**build_stack_config({"hubble": False}, west=1), "extensions": extensions})

    assert recorder.inputs_of("Release").keys() == {"west-cilium", "west-metallb", "west-ingress-nginx"}
    assert recorder.inputs_of(":ConfigFile").keys() == {"west-gateway-api-crds"}
    assert {"ReleaseDrift west-cilium-drift", "L2Advertisement west-metallb-advertisement"} <= recorder.dependencies_of(
        "Release", "west-ingress-nginx"
    )
