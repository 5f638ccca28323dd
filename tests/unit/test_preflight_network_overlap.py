"""Preflight check for overlapping pod and service networks of flat links and ClusterMeshes."""

from __future__ import annotations

from typing import Any

from mesh.preflight import Finding, FlatNetworkLink, Severity
from tests.helpers.fake_api_server import NODES, build_client, check_clusters, check_target, healthy_server, serve


def check_flat_network(
    west: dict[str, Any], east: dict[str, Any], *, is_clustermesh: bool = False, **overrides: Any
) -> list[Finding]:
    """Return the findings for a flat link or a ClusterMesh of west and east, given their node lists."""
    clusters = {"west": healthy_server(), "east": healthy_server()}
    clusters["west"].objects[NODES], clusters["east"].objects[NODES] = west, east
    with serve(clusters["west"]), serve(clusters["east"]):
        return check_clusters(
            [check_target(name, needs_load_balancer=False, **overrides) for name in clusters],
            lambda name: build_client(clusters[name].server),
            [FlatNetworkLink(source="west", target="east", is_clustermesh=is_clustermesh)],
            timeout_s=2,
        )


def node_list(*cidrs: str, more: bool = False) -> dict[str, Any]:
    items = [
        {"spec": {"podCIDR": cidr, "podCIDRs": [cidr, "fd00::/64" if "." in cidr else "10.0.0.0/8"]}} for cidr in cidrs
    ]
    return {"metadata": {"continue": "token"} if more else {}, "items": items}


def test_overlapping_pod_networks_are_error() -> None:
    [finding] = check_flat_network(
        {"items": [{"spec": {"podCIDR": "10.42.0.0/24"}}]}, {"items": [{"spec": {"podCIDR": "10.42.0.0/16"}}]}
    )

    assert (finding.path, finding.value, finding.severity) == ("clusters.west", "10.42.0.0/24", Severity.ERROR)
    assert finding.rule == (
        "a pod network that overlaps east's pod network 10.42.0.0/16, and the link to it has no gateway"
    )


def test_overlapping_clustermesh_pod_networks_do_not_mention_links() -> None:
    [finding] = check_flat_network(
        {"items": [{"spec": {"podCIDR": "10.42.0.0/24"}}]},
        {"items": [{"spec": {"podCIDR": "10.42.0.0/24"}}]},
        is_clustermesh=True,
    )

    assert finding.rule == (
        "a pod network that overlaps east's pod network 10.42.0.0/24, "
        "and pods of a ClusterMesh connect directly to each other"
    )
    assert finding.remedy == (
        "give one of them other networks; if these are not their networks, "
        "declare clusters.west.networks and clusters.east.networks"
    )


def test_clustermesh_service_networks_may_be_equal() -> None:
    first, second = ({"items": [{"spec": {"podCIDR": f"10.{number}.0.0/16"}}]} for number in (1, 2))

    assert check_flat_network(first, second, is_clustermesh=True, service_networks=("10.96.0.0/12",)) == []
    assert len(check_flat_network(first, second, is_clustermesh=True, service_networks=("10.2.0.0/16",))) == 1


def test_unknown_clustermesh_networks_are_reported() -> None:
    [finding] = check_flat_network(
        {"items": [{"spec": {}}]}, {"items": [{"spec": {"podCIDR": "10.1.0.0/16"}}]}, is_clustermesh=True
    )

    assert finding.rule == (
        "an overlap of its networks with those of the other clusters of the ClusterMesh is not excluded: "
        "its nodes have no pod CIDR"
    )


def test_further_overlapping_networks_are_counted() -> None:
    [finding] = check_flat_network(node_list("10.1.0.0/24"), node_list("10.1.0.0/24"))

    assert "10.1.0.0/24 (and 1 more)" in finding.rule


def test_distinct_networks_have_no_findings() -> None:
    assert (
        check_flat_network(
            {"items": [{"spec": {"podCIDR": "10.1.0.0/16"}}]}, {"items": [{"spec": {"podCIDR": "fd00::/64"}}]}
        )
        == []
    )


def test_unknown_networks_are_one_warning_per_cluster() -> None:
    findings = check_flat_network(
        {"items": [{"spec": {}}]}, {"items": [{"spec": {"podCIDR": "10.1.0.0/16"}}], "metadata": {"continue": "x"}}
    )

    assert [(finding.path, finding.severity) for finding in findings] == [
        ("clusters.west.networks.pods", Severity.WARNING),
        ("clusters.east.networks.pods", Severity.WARNING),
    ]
    assert findings[0].rule.endswith("is not excluded: its nodes have no pod CIDR")
    assert findings[1].rule.endswith("is not excluded: it has more than the 1 nodes that were read")
    assert findings[0].remedy == "list its pods' CIDRs in clusters.west.networks.pods"


def test_declared_networks_replace_node_lookup() -> None:
    clusters = {"west": healthy_server(), "east": healthy_server()}
    targets = {
        "west": check_target(
            "west", pod_networks=("10.1.0.0/16",), service_networks=("10.96.0.0/12",), needs_load_balancer=False
        ),
        "east": check_target(
            "east", pod_networks=("10.2.0.0/16",), service_networks=("10.100.0.0/16",), needs_load_balancer=False
        ),
    }
    with serve(clusters["west"]), serve(clusters["east"]):
        [finding] = check_clusters(
            list(targets.values()),
            lambda name: build_client(clusters[name].server),
            [FlatNetworkLink(source="west", target="east")],
        )

    assert finding.value == "10.96.0.0/12"
    assert "a service network that overlaps east's service network 10.100.0.0/16" in finding.rule
    assert f"GET {NODES}" not in clusters["west"].requests


def test_link_to_unchecked_cluster_is_ignored() -> None:
    with serve(healthy_server()) as cluster:
        assert (
            check_clusters(
                [check_target()],
                lambda name: build_client(cluster.server),
                [FlatNetworkLink(source="west", target="east")],
            )
            == []
        )
