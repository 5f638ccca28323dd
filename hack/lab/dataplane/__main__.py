"""Process of one cluster's data plane, which the lab's supervisor starts.

python -m hack.lab.dataplane <the lab's folder> <cluster> <router's network namespace> <kube-proxy> <kubelet>
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from hack.lab import api, spec
from hack.lab.allocation import read_allocation
from hack.lab.dataplane import (
    addresses,
    dns,
    forwarding,
    kube_proxy,
    kubelet_server,
    load_balancer,
    namespaces,
    network,
    state,
)
from hack.lab.dataplane.informer import Informer
from hack.lab.dataplane.kubelet import Kubelet
from hack.lab.dataplane.pods import NodeContext
from hack.lab.dataplane.processes import wait_until_readable
from hack.lab.errors import LabError
from hack.lab.pki import Pki
from hack.lab.restarting_process import RestartingProcess
from hack.lab.spec import LoadBalancerKind
from hack.lab.state_dir import StateDir, read_mapping

_RETRY_INTERVAL_S = 1.0
_NO_HELM_RELEASES = "type!=helm.sh/release.v1"  # the largest Secrets, which no pod mounts
_log = logging.getLogger("hack.lab.dataplane")


class DataPlane:
    """The data plane of one cluster."""

    def __init__(
        self, state_dir: StateDir, cluster: str, router: Path, kube_proxy_program: Path, kubelet_program: Path
    ) -> None:
        """Read the cluster's files.

        Args:
            state_dir: the lab's folder.
            cluster: name of the cluster.
            router: path of the network namespace between the clusters.
            kube_proxy_program: path of kube-proxy.
            kubelet_program: path of the server of `kubectl exec`, port-forward and logs.

        Raises:
            LabError: the lab has no such cluster.
        """
        self._state_dir = state_dir
        self._folder = state_dir.cluster(cluster)
        self._router = router
        self._kube_proxy_program, self._kubelet_program = kube_proxy_program, kubelet_program
        allocation = read_allocation(self._folder)
        if allocation is None:
            raise LabError(
                f"{cluster}: no such cluster in {state_dir.folder}; start it with 'python -m hack.lab start'"
            )
        self._allocation = allocation
        self._api = api.connect(Pki(folder=self._folder / "pki"), allocation)
        self._spec = spec.load(state_dir)
        self._nodes: namespaces.NamespaceHolder | None = None
        self._kubelet: Kubelet | None = None
        # The event loop itself has only a weak reference to a task.
        self._load_balancing: asyncio.Task[None] | None = None
        self._published: dict[str, Any] = {}

    async def run(self) -> None:
        """Run until SIGTERM, or until the nodes' namespace is lost."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        state.delete_state(self._folder)
        nodes = self._nodes = await self._set_up_nodes()
        proxy = self._create_kube_proxy(nodes.network)
        proxy.start()
        kubelet = await self._start_kubelet(nodes)
        server = RestartingProcess(kubelet_server.command(self._kubelet_program, self._folder, self._allocation))
        server.start()
        self._kubelet = kubelet
        self._publish()
        _log.info("%s: ready", self._allocation.name)
        ends = [
            asyncio.create_task(stopped.wait()),
            asyncio.create_task(wait_until_readable(os.pidfd_open(nodes.process.pid))),
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        kubelet.kill()
        proxy.kill()
        server.kill()
        nodes.kill()

    async def _set_up_nodes(self) -> namespaces.NamespaceHolder:
        """Create the nodes' namespace, from which the API server can be reached."""
        nodes = await namespaces.hold_network()
        network.set_up_nodes(self._router, nodes, self._allocation)
        port = self._allocation.ports.api_server
        await forwarding.forward(self._router, self._allocation.advertised_address, port)
        # kube-proxy uses the lab's kubeconfig.
        await forwarding.forward(nodes.network, "127.0.0.1", port)
        return nodes

    async def _start_kubelet(self, nodes: namespaces.NamespaceHolder) -> Kubelet:
        """Start the pods, and before them the DNS server and the load balancer that they use."""
        node = self._create_node_context(nodes)
        services = Informer(self._api, "/api/v1/services")
        endpoint_slices = Informer(self._api, "/apis/discovery.k8s.io/v1/endpointslices")
        for informer in (node.secrets, node.config_maps, services, endpoint_slices):
            informer.start()
            await informer.wait_until_synced()
        if self._allocation.load_balancer is LoadBalancerKind.HOSTNAME:
            load_balancer.set_up(self._router, self._allocation)
            self._load_balancing = asyncio.create_task(self._balance_load(services))
        lab_server = ("127.0.0.1", int(read_mapping(self._state_dir.ports)["dns"]))
        await dns.DnsServer(services, endpoint_slices, lab_server).start(nodes.network)
        kubelet = Kubelet(node)
        kubelet.start()
        await kubelet.wait_until_synced()
        return kubelet

    async def _balance_load(self, services: Informer) -> None:
        while True:
            try:
                load_balancer.update(self._router, self._allocation, services.list_all())
            except namespaces.NamespaceError as error:
                _log.error("load balancer: %s; retrying", error)
                await asyncio.sleep(_RETRY_INTERVAL_S)
            else:
                await services.wait_for_change()

    def _create_kube_proxy(self, nodes: Path) -> RestartingProcess:
        file = self._folder / "kube-proxy.json"
        kube_proxy.write_configuration(file, self._allocation, self._folder / "lab.kubeconfig")
        log = self._folder / "logs" / "kube-proxy.log"
        return RestartingProcess(kube_proxy.command(self._kube_proxy_program, file, log, nodes))

    def _create_node_context(self, nodes: namespaces.NamespaceHolder) -> NodeContext:
        return NodeContext(
            allocation=self._allocation,
            api=self._api,
            nodes=nodes,
            addresses=addresses.node_addresses(self._allocation),
            secrets=Informer(self._api, "/api/v1/secrets", field_selector=_NO_HELM_RELEASES),
            config_maps=Informer(self._api, "/api/v1/configmaps"),
            pods_folder=self._folder / "pods",
            log_folder=self._folder / "logs" / "pods",
            linkerd_folders=[Path(folder) for folder in self._spec.dataplane_folders],
            start_delay_s=self._spec.image_delay_s,
            api_server_ports=self._api_server_ports,
            publish=self._publish,
        )

    def _api_server_ports(self) -> list[int]:
        """Return the ports of the API servers of all clusters in the lab."""
        allocations = map(read_allocation, map(self._state_dir.cluster, self._state_dir.known_clusters()))
        return [allocation.ports.api_server for allocation in allocations if allocation]

    def _publish(self) -> None:
        """Write the state file if it changed, before the API server reports the change."""
        if self._kubelet is not None and self._nodes is not None:
            content = state.describe(self._nodes.network, self._kubelet.describe())
            if content != self._published:
                state.write_state(self._folder, content)
                self._published = content


def main() -> int:
    """Run the data plane of one cluster (for the arguments see the module's docstring)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        plane = DataPlane(StateDir(folder=Path(sys.argv[1])), sys.argv[2], *map(Path, sys.argv[3:6]))
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(plane.run())
    except (LabError, OSError) as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
