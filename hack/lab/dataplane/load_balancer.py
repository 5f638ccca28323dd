"""Load balancer of clusters whose Services have a host name in place of an IP: it forwards to node ports.

kube-proxy itself accepts connections to a load balancer's IP, but does not know the address behind a host name.
"""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hack.lab.allocation import ClusterAllocation
from hack.lab.dataplane import namespaces
from hack.lab.dataplane.network import IPTABLES


def set_up(router: Path, allocation: ClusterAllocation) -> None:
    """Send connections to a cluster's load balancer through a chain of rules, which is still empty."""
    chain = _chain(allocation)
    jump = ("PREROUTING", "-d", allocation.load_balancer_address, "-j", chain)
    with contextlib.suppress(namespaces.NamespaceError):  # there is no rule of an earlier process
        namespaces.run(router, (*IPTABLES, "-t", "nat", "-D", *jump))
    update(router, allocation, [])
    namespaces.run(router, (*IPTABLES, "-t", "nat", "-A", *jump))


def update(router: Path, allocation: ClusterAllocation, services: Iterable[Mapping[str, Any]]) -> None:
    """Replace all rules of a cluster at once.

    Raises:
        NamespaceError: the rules cannot be changed.
    """
    namespaces.run(router, ("iptables-restore", "--wait", "--noflush"), lines=rules(allocation, services))


def rules(allocation: ClusterAllocation, services: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the input of `iptables-restore` for a cluster's Services of type LoadBalancer."""
    chain, node = _chain(allocation), allocation.node_addresses[0]
    return [
        "*nat",
        f":{chain} - [0:0]",
        *(
            f"-A {chain} -p tcp --dport {port['port']} -j DNAT --to-destination {node}:{port['nodePort']}"
            for service in services
            if service["spec"].get("type") == "LoadBalancer" and not service["spec"].get("loadBalancerClass")
            for port in service["spec"].get("ports") or []
            if port.get("nodePort") and port.get("protocol", "TCP") == "TCP"
        ),
        "COMMIT",
    ]


def _chain(allocation: ClusterAllocation) -> str:
    return f"CLUSTER{allocation.index}"
