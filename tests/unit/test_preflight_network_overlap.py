"""Preflight: pod and service networks on the two sides of a link without a gateway."""

from __future__ import annotations

from typing import Any

from mesh.preflight import Finding, FlatNetworkLink, Severity, run_checks
from tests.helpers.fake_api_server import NODES, build_client, check_target, healthy_server, serve


def flat(west: dict[str, Any], east: dict[str, Any], *, mesh: bool = False, **asked: Any) -> list[Finding]:
    """What is found for a link without a gateway or a ClusterMesh of west and east, whose lists of nodes are given."""
    clusters = {"west": healthy_server(), "east": healthy_server()}
    clusters["west"].objects[NODES], clusters["east"].objects[NODES] = west, east
    with serve(clusters["west"]), serve(clusters["east"]):
        return run_checks(
            [check_target(name, load_balancer=False, **asked) for name in clusters],
            lambda name: build_client(clusters[name].server),
            [FlatNetworkLink(source="west", target="east", mesh=mesh)],
            timeout=2,
        )


def nodes(*cidrs: str, more: bool = False) -> dict[str, Any]:
    items = [
        {"spec": {"podCIDR": cidr, "podCIDRs": [cidr, "fd00::/64" if "." in cidr else "10.0.0.0/8"]}} for cidr in cidrs
    ]
    return {"metadata": {"continue": "token"} if more else {}, "items": items}


def test_pod_networks_that_overlap_are_an_error() -> None:
    [found] = flat(
        {"items": [{"spec": {"podCIDR": "10.42.0.0/24"}}]}, {"items": [{"spec": {"podCIDR": "10.42.0.0/16"}}]}
    )

    assert (found.path, found.value, found.severity) == ("clusters.west", "10.42.0.0/24", Severity.ERROR)
    assert found.rule == (
        "a pod network that overlaps east's pod network 10.42.0.0/16, and the link to it has no gateway"
    )


def test_pod_networks_of_a_clustermesh_that_overlap_are_told_without_a_word_of_links() -> None:
    [found] = flat(
        {"items": [{"spec": {"podCIDR": "10.42.0.0/24"}}]},
        {"items": [{"spec": {"podCIDR": "10.42.0.0/24"}}]},
        mesh=True,
    )

    assert found.rule == (
        "a pod network that overlaps east's pod network 10.42.0.0/24, "
        "and pods of a ClusterMesh reach one another by their own addresses"
    )
    assert found.remedy == (
        "give one of them other networks; if these aren't their networks, "
        "declare clusters.west.networks and clusters.east.networks"
    )


def test_service_networks_of_a_clustermesh_may_be_the_same() -> None:
    first, second = ({"items": [{"spec": {"podCIDR": f"10.{number}.0.0/16"}}]} for number in (1, 2))

    assert flat(first, second, mesh=True, service_networks=("10.96.0.0/12",)) == []
    assert len(flat(first, second, mesh=True, service_networks=("10.2.0.0/16",))) == 1


def test_what_is_not_known_of_a_clustermesh_is_told_of_it() -> None:
    [found] = flat({"items": [{"spec": {}}]}, {"items": [{"spec": {"podCIDR": "10.1.0.0/16"}}]}, mesh=True)

    assert found.rule == (
        "whether its networks overlap those of the other clusters of the ClusterMesh isn't known: "
        "its nodes don't tell theirs"
    )


def test_more_networks_that_overlap_are_counted() -> None:
    [found] = flat(nodes("10.1.0.0/24"), nodes("10.1.0.0/24"))

    assert "10.1.0.0/24 (and 1 more)" in found.rule


def test_networks_of_their_own_are_left_alone() -> None:
    assert (
        flat({"items": [{"spec": {"podCIDR": "10.1.0.0/16"}}]}, {"items": [{"spec": {"podCIDR": "fd00::/64"}}]}) == []
    )


def test_networks_that_are_not_known_are_a_warning_for_each_cluster() -> None:
    found = flat(
        {"items": [{"spec": {}}]}, {"items": [{"spec": {"podCIDR": "10.1.0.0/16"}}], "metadata": {"continue": "x"}}
    )

    assert [(finding.path, finding.severity) for finding in found] == [
        ("clusters.west.networks.pods", Severity.WARNING),
        ("clusters.east.networks.pods", Severity.WARNING),
    ]
    assert found[0].rule.endswith("isn't known: its nodes don't tell theirs")
    assert found[1].rule.endswith("isn't known: it has more than the 1 nodes that were looked at")
    assert found[0].remedy == "list its pods' CIDRs in clusters.west.networks.pods"


def test_declared_networks_are_believed_and_need_no_nodes() -> None:
    clusters = {"west": healthy_server(), "east": healthy_server()}
    asked = {
        "west": check_target(
            "west", pod_networks=("10.1.0.0/16",), service_networks=("10.96.0.0/12",), load_balancer=False
        ),
        "east": check_target(
            "east", pod_networks=("10.2.0.0/16",), service_networks=("10.100.0.0/16",), load_balancer=False
        ),
    }
    with serve(clusters["west"]), serve(clusters["east"]):
        [found] = run_checks(
            list(asked.values()),
            lambda name: build_client(clusters[name].server),
            [FlatNetworkLink(source="west", target="east")],
        )

    assert found.value == "10.96.0.0/12"
    assert "a service network that overlaps east's service network 10.100.0.0/16" in found.rule
    assert f"GET {NODES}" not in clusters["west"].requests


def test_a_link_to_a_cluster_that_is_not_asked_is_passed_over() -> None:
    with serve(healthy_server()) as cluster:
        assert (
            run_checks(
                [check_target()],
                lambda name: build_client(cluster.server),
                [FlatNetworkLink(source="west", target="east")],
            )
            == []
        )
