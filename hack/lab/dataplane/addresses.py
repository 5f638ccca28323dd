"""Addresses of the data plane, in addition to those of `hack.lab.allocation`."""

from dataclasses import dataclass, field

from hack.lab.allocation import ClusterAllocation

ALL_PODS = "10.0.0.0/10"
"""The pod ranges of all clusters."""

POD_GATEWAY = "169.254.1.1"
"""The next hop of each pod; the node answers for it, as with Calico."""

DNS_ADDRESS = "169.254.20.10"
"""The name server of each pod, at the address of Kubernetes' NodeLocal DNSCache."""

_FIRST_HOST, _LAST_HOST = 10, 250


def router_link(allocation: ClusterAllocation) -> tuple[str, str]:
    """Return the addresses of the router and of a cluster's nodes on the link between them, in TEST-NET-3."""
    base = 4 * allocation.index
    return f"203.0.113.{base + 1}", f"203.0.113.{base + 2}"


@dataclass(kw_only=True)
class PodAddresses:
    """Addresses of one node's pods; a released address is used again as late as possible."""

    prefix: str  # such as 10.1.0, for a node with the range 10.1.0.0/24
    _used: set[int] = field(default_factory=set)
    _last: int = _FIRST_HOST - 1

    def allocate(self) -> str:
        """Return a free address.

        Raises:
            ValueError: the node has no free address.
        """
        span = _LAST_HOST - _FIRST_HOST + 1
        for step in range(1, span + 1):
            host = _FIRST_HOST + (self._last - _FIRST_HOST + step) % span
            if host not in self._used:
                self._used.add(host)
                self._last = host
                return f"{self.prefix}.{host}"
        raise ValueError(f"{self.prefix}.0/24: no free pod address")

    def release(self, address: str) -> None:
        """Make an address free."""
        self._used.discard(int(address.rpartition(".")[2]))


def node_addresses(allocation: ClusterAllocation) -> dict[str, PodAddresses]:
    """Return the pod addresses of each node of a cluster."""
    return {
        name: PodAddresses(prefix=allocation.node_pod_cidr(number).rpartition(".")[0])
        for number, name in enumerate(allocation.node_names)
    }
