"""One cluster: its files, its processes, and its start."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hack.lab import api, commands, egress_proxy, gateway_probe, kubeconfig, kwok, metrics, pki, port_reservation, web
from hack.lab.allocation import ClusterAllocation
from hack.lab.api import ApiError
from hack.lab.dataplane import state as dataplane_state
from hack.lab.dataplane import supervision as dataplane
from hack.lab.errors import LabError
from hack.lab.gateway_probe import RunningCluster
from hack.lab.mirrors import MirrorProcesses
from hack.lab.restarting_process import Command, RestartingProcess
from hack.lab.state_dir import StateDir, write_atomically

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_NOT_READY_TAINT = "node.kubernetes.io/not-ready"
_STOP_GRACE_S = 2.0  # between SIGTERM and SIGKILL
_POLL_INTERVAL_S = 0.1
_MAX_FAILURES = 5
_log = logging.getLogger(__name__)


class ClusterProcesses:
    """The processes of one cluster."""

    def __init__(
        self,
        state_dir: StateDir,
        allocation: ClusterAllocation,
        programs: Path,
        *,
        peers: Callable[[], Sequence[RunningCluster]],
        dns: Callable[[], str],
        linkerd: Callable[[], Sequence[Path]],
        router: Path | None = None,
        has_fake_apis: bool = True,
    ) -> None:
        """Write the cluster's files, without starting anything; `router` connects the data planes, if there are any."""
        self.allocation = allocation
        self._state_dir = state_dir
        self._router = router
        self._has_fake_apis = has_fake_apis
        self._folder = state_dir.cluster(allocation.name)
        self._programs = programs
        self._peers = peers
        self._pki = pki.ensure_pki(self._folder / "pki", allocation)
        self._write_files()
        self.peer = RunningCluster(allocation=allocation, api=api.connect(self._pki, allocation))
        self._mirrors = MirrorProcesses(self._folder, allocation, self._pki, self.peer.api, dns, linkerd)
        self._processes: list[RestartingProcess] = []
        self._servers: list[asyncio.Server] = []
        self._began = time.monotonic()
        self._state = "starting"
        self._seconds: float | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Return whether the cluster is ready and all of its programs run."""
        return self._state == "ready" and not self._stopped_programs()

    def start(self) -> None:
        """Start the cluster, in the background."""
        self._task = asyncio.create_task(self._run_cluster())

    async def stop(self) -> None:
        """Stop all processes; the data remains."""
        self._state = "stopping"
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        # Mirrors first, because they release their leases at the API server.
        await self._mirrors.stop()
        store = [p for p in self._processes if p.command.name == "etcd"]
        others = [p for p in self._processes if p not in store]
        # The API server has no state of its own, and a graceful stop would wait for the end of its watches.
        await asyncio.gather(
            *(p.stop(grace=0 if p.command.name == "kube-apiserver" else _STOP_GRACE_S) for p in others)
        )
        await asyncio.gather(*(p.stop(grace=_STOP_GRACE_S) for p in store))
        for server in self._servers:
            server.close()
        for port in vars(self.allocation.ports).values():
            port_reservation.release_port(port)

    def kill(self) -> None:
        """Kill all processes, without waiting."""
        if self._task:
            self._task.cancel()
        self._mirrors.kill()
        for process in self._processes:
            process.kill()

    def describe(self) -> dict[str, Any]:
        """Return the cluster's entry for the status file."""
        allocation = self.allocation
        failing = [p for p in self._processes if p.failures >= _MAX_FAILURES]
        state = self._state
        if failing:
            state = f"failed: {failing[0].command.name} ends again after each restart"
        elif state == "ready" and (down := self._stopped_programs()):
            state = f"restarting {down[0]}"
        return {
            "context": allocation.name,
            "apiServer": allocation.api_server,
            "ready": self.is_ready,
            "state": state,
            "failedLog": str(failing[0].command.log) if failing else None,
            "seconds": self._seconds,
            "loadBalancer": {
                "kind": str(allocation.load_balancer),
                "address": {"ip": allocation.load_balancer_address, "hostname": allocation.load_balancer_hostname}.get(
                    allocation.load_balancer
                ),
            },
            "logs": str(self._folder / "logs"),
            "processes": [process.describe() for process in self._processes],
            "mirrors": self._mirrors.describe(),
        }

    def _write_files(self) -> None:
        egress_proxy.write_selector(self._folder / "egress-selector.yaml", self.allocation, self._pki)
        kwok.write_configuration(
            self._folder / "kwok.yaml", self.allocation, self._programs / "stages", has_pods=self._router is None
        )
        for component in ("kube-controller-manager", "kube-scheduler", "lab"):
            write_atomically(
                self._folder / f"{component}.kubeconfig",
                kubeconfig.component_kubeconfig(self._pki, self.allocation, component),
            )

    async def _run_cluster(self) -> None:
        try:
            await self._bring_up()
            await self._watch_programs()
        except (LabError, OSError, ApiError) as error:
            self._state = f"failed: {error}"
            _log.exception("%s: %s", self.allocation.name, self._state)

    async def _bring_up(self) -> None:
        allocation, paths = self.allocation, (self._programs, self._folder, self.allocation, self._pki)
        connect_to_pods = None if self._router is None else partial(dataplane.connect_to_pods, self._folder)
        self._servers = [
            await egress_proxy.serve(
                allocation, self._pki, self.peer.api, connect_to_pods, has_fake_apis=self._has_fake_apis
            )
        ]
        if self._router is None:
            self._servers += await self._serve_mirrors()
        self._run(commands.etcd_command(*paths))
        await self._wait_until("etcd", self._is_etcd_listening)
        self._run(commands.kube_apiserver_command(*paths))
        await self._wait_until("kube-apiserver", self.peer.api.is_ready)
        self._run(commands.kube_controller_manager_command(*paths))
        self._run(commands.kube_scheduler_command(self._programs, self._folder))
        await self._free_nodes()
        self._run(commands.kwok_command(*paths, has_pods=self._router is None), prepare=self._free_nodes)
        await self._wait_until("nodes", self._create_nodes)
        await self._wait_until("nodes", self._is_usable)
        if self._router is None:
            self._mirrors.start()
        else:
            dataplane_state.delete_state(self._folder)
            self._run(dataplane.command(self._state_dir, allocation, self._router))
            await self._wait_until("the data plane", self._has_dataplane)
        self._seconds = round(time.monotonic() - self._began, 1)
        self._state = "ready"
        _log.info("%s: ready in %s s", allocation.name, self._seconds)

    async def _serve_mirrors(self) -> list[asyncio.Server]:
        """Serve what the lab's own service mirrors need in place of gateways and pods."""
        ports = self.allocation.ports
        probe_handler = gateway_probe.create_handler(self.peer, self._peers)
        metrics_handler = metrics.create_handler(self._mirrors.metrics_ports)
        return [
            await web.serve(web.create_connection_handler(probe_handler), ports.gateway),
            await web.serve(web.create_connection_handler(metrics_handler), ports.metrics),
        ]

    async def _watch_programs(self) -> None:
        """Update the state after a crash: the cluster is ready again once the API server is healthy."""
        while True:
            if down := self._stopped_programs():
                self._state = f"restarting {down[0]}"
                while self._stopped_programs() or not await asyncio.to_thread(self.peer.api.is_ready):
                    await asyncio.sleep(_POLL_INTERVAL_S)
                self._state = "ready"
            await asyncio.sleep(_POLL_INTERVAL_S)

    def _stopped_programs(self) -> list[str]:
        return [process.command.name for process in self._processes if not process.is_running]

    def _run(self, command: Command, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
        process = RestartingProcess(command, prepare)
        self._processes.append(process)
        process.start()

    async def _wait_until(self, condition_name: str, condition: Callable[[], bool]) -> None:
        self._state = f"starting: waiting for {condition_name}"
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(_POLL_INTERVAL_S)

    def _has_dataplane(self) -> bool:
        return bool(dataplane_state.read_state(self._folder))

    def _is_etcd_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.allocation.ports.etcd)) == 0

    async def _free_nodes(self) -> None:
        """Delete the node leases of an earlier kwok; a new kwok would wait until they expire."""
        with contextlib.suppress(ApiError, OSError):
            await asyncio.to_thread(self.peer.api.delete, _LEASES)

    def _create_nodes(self) -> bool:
        for node in kwok.node_manifests(self.allocation, runs_pods=self._router is not None):
            try:
                self.peer.api.create("/api/v1/nodes", node)
            except ApiError as error:
                if error.status != 409:
                    _log.warning("%s: creating a node: %s", self.allocation.name, error)
                    return False
            except OSError:
                return False
        return True

    def _is_usable(self) -> bool:
        """Return whether a new pod would be admitted and scheduled."""
        try:
            nodes = self.peer.api.get("/api/v1/nodes")["items"]
            leases = self.peer.api.get(_LEASES)["items"]
            self.peer.api.get("/api/v1/namespaces/default/serviceaccounts/default")
        except (ApiError, OSError):
            return False
        usable = {node["metadata"]["name"] for node in nodes if _is_usable_node(node)}
        # kwok runs the pods only of nodes for which it holds a lease.
        leased = {lease["metadata"]["name"] for lease in leases}
        return (usable & leased).issuperset(self.allocation.node_names)


def _is_usable_node(node: dict[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in node.get("status", {}).get("conditions") or []}
    tainted = any(taint["key"] == _NOT_READY_TAINT for taint in node["spec"].get("taints") or [])
    return conditions.get("Ready") == "True" and not tainted
