"""Network of the data plane: a router for the lab, a namespace for each cluster's nodes, and one for each pod.

The three nodes of a cluster share one namespace and one kube-proxy. All interfaces are in these namespaces, so the
machine's own network does not change, and two labs can use the same addresses.
"""

import contextlib
from pathlib import Path

from hack.lab.allocation import ClusterAllocation
from hack.lab.dataplane import addresses, namespaces

IPTABLES = ("iptables", "--wait")
"""Command that waits while kube-proxy, or the data plane of another cluster, changes rules."""

_NODES_INTERFACE = "wan0"
_POD_INTERFACE = "eth0"
_IP_BATCH = ("ip", "-batch", "-")


def set_up_router(router: Path, *, flat: bool) -> None:
    """Set up the namespace between the clusters; on a flat network pods reach the pods of other clusters."""
    namespaces.run(router, _IP_BATCH, lines=["link set lo up"])
    _set_kernel_parameters(router, {"ip_forward": "1"})
    # A cluster can be the client of its own load balancer: nodes drop packets that come from their own addresses.
    balanced = ("-m", "conntrack", "--ctstate", "DNAT")
    namespaces.run(router, (*IPTABLES, "-t", "nat", "-A", "POSTROUTING", *balanced, "-j", "MASQUERADE"))
    if not flat:
        between_pods = ("-s", addresses.ALL_PODS, "-d", addresses.ALL_PODS)
        namespaces.run(router, (*IPTABLES, "-A", "FORWARD", *between_pods, "-j", "REJECT"))


def set_up_nodes(router: Path, nodes: namespaces.NamespaceHolder, allocation: ClusterAllocation) -> None:
    """Set up the namespace of a cluster's nodes, and connect it to the router."""
    with contextlib.suppress(namespaces.NamespaceError):
        # The interface of an earlier process; the kernel deletes it some time after the end of its namespace.
        namespaces.run(router, ("ip", "link", "delete", _router_interface(allocation)))
    # A new interface inherits this value: the node answers for the pods' next hop.
    _set_kernel_parameters(nodes.network, {"ip_forward": "1", "conf/default/proxy_arp": "1"})
    namespaces.run(router, _IP_BATCH, lines=router_commands(allocation, nodes.process.pid))
    namespaces.run(nodes.network, _IP_BATCH, lines=node_commands(allocation))
    namespaces.run(nodes.network, (*IPTABLES, *masquerade_rule(allocation)))


def add_pod(nodes: Path, pod: namespaces.NamespaceHolder, address: str, uid: str) -> None:
    """Connect a pod's namespace to its node."""
    namespaces.run(nodes, _IP_BATCH, lines=pod_host_commands(pod_interface(uid), address, pod.process.pid))
    namespaces.run(pod.network, _IP_BATCH, lines=pod_commands(address))


def router_commands(allocation: ClusterAllocation, nodes_pid: int) -> list[str]:
    """Return the commands of `ip` that connect a cluster's nodes to the router."""
    interface, (router, nodes) = _router_interface(allocation), addresses.router_link(allocation)
    routed = [
        *(f"{address}/32" for address in (*allocation.node_addresses, allocation.load_balancer_address)),
        allocation.pod_cidr,
    ]
    return [
        f"link add {interface} type veth peer name {_NODES_INTERFACE} netns {nodes_pid}",
        f"address add {router}/30 dev {interface}",
        f"link set {interface} up",
        *(f"route add {network} via {nodes}" for network in routed),
        # The address at which pods reach the API server; see `forwarding.py`.
        f"address replace {allocation.advertised_address}/32 dev lo",
    ]


def node_commands(allocation: ClusterAllocation) -> list[str]:
    """Return the commands of `ip` in the namespace of a cluster's nodes, which has the addresses of all of them."""
    router, nodes = addresses.router_link(allocation)
    return [
        "link set lo up",
        *(f"address add {address}/32 dev lo" for address in (*allocation.node_addresses, addresses.DNS_ADDRESS)),
        f"address add {nodes}/30 dev {_NODES_INTERFACE}",
        f"link set {_NODES_INTERFACE} up",
        f"route add default via {router}",
    ]


def masquerade_rule(allocation: ClusterAllocation) -> list[str]:
    """Return the rule of `iptables` by which pods leave the cluster with a node's address, as with a network plugin."""
    leaving = ["-s", allocation.pod_cidr, "!", "-d", addresses.ALL_PODS, "-o", _NODES_INTERFACE]
    return [
        *("-t", "nat", "-A", "POSTROUTING"),
        *leaving,
        *("-j", "SNAT", "--to-source", allocation.node_addresses[0]),
    ]


def pod_host_commands(interface: str, address: str, pod_pid: int) -> list[str]:
    """Return the commands of `ip` in the nodes' namespace that connect a pod."""
    return [
        f"link add {interface} type veth peer name {_POD_INTERFACE} netns {pod_pid}",
        f"link set {interface} up",
        f"route add {address}/32 dev {interface}",
    ]


def pod_commands(address: str) -> list[str]:
    """Return the commands of `ip` in a pod's namespace."""
    return [
        "link set lo up",
        f"address add {address}/32 dev {_POD_INTERFACE}",
        f"link set {_POD_INTERFACE} up",
        f"route add {addresses.POD_GATEWAY} dev {_POD_INTERFACE} scope link",
        f"route add default via {addresses.POD_GATEWAY} src {address}",
    ]


def pod_interface(uid: str) -> str:
    """Return the name of a pod's interface on its node; interfaces have at most 15 characters."""
    return f"v{uid.replace('-', '')[:12]}"


def _router_interface(allocation: ClusterAllocation) -> str:
    return f"cluster{allocation.index}"


def _set_kernel_parameters(namespace: Path, parameters: dict[str, str]) -> None:
    # /proc/sys/net shows the namespace of the thread that opens it.
    with namespaces.enter_network(namespace):
        for name, value in parameters.items():
            (Path("/proc/sys/net/ipv4") / name).write_text(value)
