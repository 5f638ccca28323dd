"""What makes a cluster itself, and survives a restart: its number, from which addresses follow, and its ports."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hack.lab import ports
from hack.lab.errors import LabError
from hack.lab.spec import ClusterSpec, LoadBalancerKind
from hack.lab.state_dir import StateDir, write_atomically

MOST_CLUSTERS = 60
NODES = 3


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The loopback ports of one cluster, one per server."""

    etcd: int = 0
    etcd_peer: int = 0
    api_server: int = 0
    kubelet: int = 0
    egress: int = 0
    gateway: int = 0
    metrics: int = 0


@dataclass(frozen=True, kw_only=True)
class ClusterAllocation:
    """Name, number (0 to 59) and ports of one cluster. The TEST-NET addresses are values; no packet is sent to them."""

    name: str
    index: int
    load_balancer: LoadBalancerKind
    ports: Ports

    @property
    def api_server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self.ports.api_server}"

    @property
    def service_cidr(self) -> str:
        """The range of cluster IPs."""
        return f"10.{128 + self.index}.0.0/16"

    @property
    def first_service_ip(self) -> str:
        """The cluster IP of the `kubernetes` Service."""
        return f"10.{128 + self.index}.0.1"

    @property
    def pod_cidr(self) -> str:
        """The range of pod IPs."""
        return f"10.{1 + self.index}.0.0/16"

    @property
    def advertised_address(self) -> str:
        """The API server's endpoint address: loopback is refused there."""
        return f"192.0.2.{4 * self.index + 4}"

    @property
    def load_balancer_address(self) -> str:
        """The one address that every LoadBalancer Service of this cluster shares."""
        return f"198.51.100.{10 + self.index}"

    @property
    def load_balancer_hostname(self) -> str:
        """The name of that address in the lab's DNS."""
        return f"lb.{self.name}.example.com"

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the fake nodes, short enough for the label `kubernetes.io/hostname` (63 characters)."""
        return tuple(f"{self.name[:61].rstrip('-')}-{number}" for number in range(1, NODES + 1))

    @property
    def node_addresses(self) -> tuple[str, ...]:
        """Addresses of the fake nodes, in the order of their names."""
        return tuple(f"192.0.2.{4 * self.index + number}" for number in range(1, NODES + 1))

    def node_pod_cidr(self, number: int) -> str:
        """The range of pod IPs on the node with this number (from 0)."""
        return f"10.{1 + self.index}.{number}.0/24"


def read(folder: Path) -> ClusterAllocation | None:
    """The identity that a cluster's folder holds, or None for a folder without one.

    Raises:
        LabError: the file is not what `settle` writes.
    """
    path = folder / "identity.json"
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
            f"{path}: damaged ({error!r}). Run 'python -m hack.lab stop --delete' and start again."
        ) from error


def allocate(home: StateDir, wanted: ClusterSpec) -> ClusterAllocation:
    """The cluster's identity as of now: as it was, except for ports that someone else took meanwhile.

    Raises:
        LabError: there are too many clusters, or no port is free.
    """
    folder = home.cluster(wanted.name)
    known = read(folder)
    if known is None:
        known = ClusterAllocation(
            name=wanted.name, index=_free_index(home), load_balancer=wanted.load_balancer, ports=Ports()
        )
    try:
        before = asdict(known.ports)
        settled = {name: ports.choose(preferred=port or None, avoid=before.values()) for name, port in before.items()}
    except OSError as error:
        raise LabError(f"cluster {wanted.name}: {error}. Stop what occupies them.") from error
    identity = replace(known, load_balancer=wanted.load_balancer, ports=Ports(**settled))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "identity.json", json.dumps(asdict(identity), indent=2) + "\n")
    return identity


def _free_index(home: StateDir) -> int:
    taken = {known.index for name in home.known_clusters() if (known := read(home.cluster(name)))}
    for index in range(MOST_CLUSTERS):
        if index not in taken:
            return index
    raise LabError(
        f"{home.folder}: {MOST_CLUSTERS} clusters have data here, more the lab has no addresses for. "
        "Remove some with 'python -m hack.lab stop --delete NAME'."
    )
