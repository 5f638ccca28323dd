"""Addresses and commands of the data plane's network."""

from typing import Any

import pytest

from hack.lab.allocation import MAX_CLUSTERS, ClusterAllocation, Ports
from hack.lab.dataplane import addresses, load_balancer, network
from hack.lab.dataplane.addresses import PodAddresses
from hack.lab.spec import LoadBalancerKind


def create_allocation(index: int = 1) -> ClusterAllocation:
    return ClusterAllocation(name="east", index=index, load_balancer=LoadBalancerKind.IP, ports=Ports(api_server=6443))


def test_pod_address_is_in_range_of_its_node() -> None:
    nodes = addresses.node_addresses(create_allocation())
    assert {name: pods.allocate() for name, pods in nodes.items()} == {
        "east-1": "10.2.0.10",
        "east-2": "10.2.1.10",
        "east-3": "10.2.2.10",
    }


def test_released_address_is_used_again_last() -> None:
    pods = PodAddresses(prefix="10.1.0")
    first = pods.allocate()
    pods.release(first)
    others = [pods.allocate() for _ in range(240)]
    assert first not in others
    assert pods.allocate() == first


def test_full_node_is_reported() -> None:
    pods = PodAddresses(prefix="10.1.0")
    for _ in range(241):
        pods.allocate()
    with pytest.raises(ValueError, match=r"10\.1\.0\.0/24: no free pod address"):
        pods.allocate()


def test_clusters_share_no_address_of_router_links() -> None:
    used = [address for i in range(MAX_CLUSTERS) for address in addresses.router_link(create_allocation(i))]
    assert len(set(used)) == len(used)
    assert all(0 < int(address.rpartition(".")[2]) < 255 for address in used)


def test_router_leads_to_nodes_pods_and_load_balancer() -> None:
    commands = network.router_commands(create_allocation(), 42)
    assert commands[0] == "link add cluster1 type veth peer name wan0 netns 42"
    routes = [command.split()[2] for command in commands if command.startswith("route add")]
    assert routes == ["192.0.2.5/32", "192.0.2.6/32", "192.0.2.7/32", "198.51.100.11/32", "10.2.0.0/16"]


def test_pods_keep_their_address_towards_other_pods_only() -> None:
    rule = " ".join(network.masquerade_rule(create_allocation()))
    assert "-s 10.2.0.0/16 ! -d 10.0.0.0/10 -o wan0" in rule
    assert rule.endswith("--to-source 192.0.2.5")


def test_load_balancer_with_host_name_leads_to_node_ports() -> None:
    def service(kind: str, **fields: str) -> dict[str, Any]:
        return {"spec": {"type": kind, "ports": [{"port": 4143, "nodePort": 30143}], **fields}}

    services = [service("LoadBalancer"), service("ClusterIP"), service("LoadBalancer", loadBalancerClass="other")]
    assert load_balancer.rules(create_allocation(), services) == [
        "*nat",
        ":CLUSTER1 - [0:0]",
        "-A CLUSTER1 -p tcp --dport 4143 -j DNAT --to-destination 192.0.2.5:30143",
        "COMMIT",
    ]


def test_pod_interface_has_at_most_fifteen_characters() -> None:
    assert network.pod_interface("f4ad0e1c-8cfb-4a0c-8a33-5c0b6bd1a0c0") == "vf4ad0e1c8cfb"
