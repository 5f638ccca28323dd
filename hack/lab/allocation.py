"""Number, addresses and ports of each cluster; they survive a restart."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hack.lab import port_reservation
from hack.lab.errors import LabError
from hack.lab.spec import ClusterSpec, LoadBalancerKind
from hack.lab.state_dir import StateDir, write_atomically

MAX_CLUSTERS = 60
NODE_COUNT = 3


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Loopback ports of one cluster, one per server."""

    etcd: int = 0
    etcd_peer: int = 0
    api_server: int = 0
    kubelet: int = 0
    egress: int = 0
    gateway: int = 0
    metrics: int = 0


@dataclass(frozen=True, kw_only=True)
class ClusterAllocation:
    """Name, number (0 to 59) and ports of one cluster.

    All addresses follow from the number. No packet is sent to the TEST-NET addresses.
    """

    name: str
    index: int
    load_balancer: LoadBalancerKind
    ports: Ports

    @property
    def api_server(self) -> str:
        """Return the API server's URL."""
        return f"https://127.0.0.1:{self.ports.api_server}"

    @property
    def service_cidr(self) -> str:
        """Return the range of cluster IPs."""
        return f"10.{128 + self.index}.0.0/16"

    @property
    def first_service_ip(self) -> str:
        """Return the cluster IP of the `kubernetes` Service."""
        return f"10.{128 + self.index}.0.1"

    @property
    def pod_cidr(self) -> str:
        """Return the range of pod IPs."""
        return f"10.{1 + self.index}.0.0/16"

    @property
    def advertised_address(self) -> str:
        """Return the API server's endpoint address; Kubernetes refuses loopback addresses there."""
        return f"192.0.2.{4 * self.index + 4}"

    @property
    def load_balancer_address(self) -> str:
        """Return the address that all LoadBalancer Services of this cluster share."""
        return f"198.51.100.{10 + self.index}"

    @property
    def load_balancer_hostname(self) -> str:
        """Return the host name of the load balancer in the lab's DNS."""
        return f"lb.{self.name}.example.com"

    @property
    def node_names(self) -> tuple[str, ...]:
        """Return the names of the fake nodes, which fit the label `kubernetes.io/hostname` (63 characters)."""
        return tuple(f"{self.name[:61].rstrip('-')}-{number}" for number in range(1, NODE_COUNT + 1))

    @property
    def node_addresses(self) -> tuple[str, ...]:
        """Return the addresses of the fake nodes, in the order of their names."""
        return tuple(f"192.0.2.{4 * self.index + number}" for number in range(1, NODE_COUNT + 1))

    def node_pod_cidr(self, number: int) -> str:
        """Return the range of pod IPs on the node with this number (from 0)."""
        return f"10.{1 + self.index}.{number}.0/24"


def read_allocation(folder: Path) -> ClusterAllocation | None:
    """Read the allocation from a cluster's folder; return None if there is none.

    Raises:
        LabError: the file was not written by `allocate`.
    """
    path = folder / "allocation.json"
    try:
        content = json.loads(path.read_text())
        return ClusterAllocation(
            name=content["name"],
            index=int(content["index"]),
            load_balancer=LoadBalancerKind(content["load_balancer"]),
            ports=Ports(**content["ports"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{path}: damaged ({error!r}); run 'python -m hack.lab stop --delete' and start again"
        ) from error


def allocate(state_dir: StateDir, cluster: ClusterSpec) -> ClusterAllocation:
    """Allocate number and ports of a cluster, and write them to its folder.

    Earlier values are kept, except for ports that another process has taken since.

    Raises:
        LabError: there are too many clusters, or no port is free.
    """
    folder = state_dir.cluster(cluster.name)
    previous = read_allocation(folder)
    if previous is None:
        previous = ClusterAllocation(
            name=cluster.name, index=_free_index(state_dir), load_balancer=cluster.load_balancer, ports=Ports()
        )
    try:
        before = asdict(previous.ports)
        chosen_ports = {
            name: port_reservation.reserve_port(preferred=port or None, avoid=before.values())
            for name, port in before.items()
        }
    except OSError as error:
        raise LabError(f"cluster {cluster.name}: {error}; stop the programs that use these ports") from error
    allocation = replace(previous, load_balancer=cluster.load_balancer, ports=Ports(**chosen_ports))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "allocation.json", json.dumps(asdict(allocation), indent=2) + "\n")
    return allocation


def _free_index(state_dir: StateDir) -> int:
    taken = {known.index for name in state_dir.known_clusters() if (known := read_allocation(state_dir.cluster(name)))}
    for index in range(MAX_CLUSTERS):
        if index not in taken:
            return index
    raise LabError(
        f"{state_dir.folder}: {MAX_CLUSTERS} clusters have data here, and the lab has no addresses for more; "
        "delete some with 'python -m hack.lab stop --delete NAME'"
    )
