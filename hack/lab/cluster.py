"""One cluster: its files, its processes, and the road from nothing to ready."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from hack.lab import api, commands, egress_proxy, gateway_probe, kubeconfig, kwok, metrics, pki, ports, web
from hack.lab.allocation import ClusterAllocation
from hack.lab.api import ApiError
from hack.lab.errors import LabError
from hack.lab.gateway_probe import Peer
from hack.lab.mirrors import MirrorProcesses
from hack.lab.processes import Command, Process
from hack.lab.state_dir import StateDir, write_atomically

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_TAINT = "node.kubernetes.io/not-ready"
_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
_MOST_FAILURES = 5
_log = logging.getLogger(__name__)


class ClusterProcesses:
    """A cluster that runs, or is about to."""

    def __init__(
        self,
        home: StateDir,
        identity: ClusterAllocation,
        programs: Path,
        *,
        peers: Callable[[], Sequence[Peer]],
        dns: Callable[[], str],
        linkerd: Callable[[], Sequence[Path]],
    ) -> None:
        """Write the cluster's files; `start` runs it."""
        self.identity = identity
        self._folder = home.cluster(identity.name)
        self._programs = programs
        self._peers = peers
        self._pki = pki.ensure(self._folder / "pki", identity)
        self._write_files()
        self.peer = Peer(identity=identity, api=api.connect(self._pki, identity))
        self._mirrors = MirrorProcesses(self._folder, identity, self._pki, self.peer.api, dns, linkerd)
        self._processes: list[Process] = []
        self._servers: list[asyncio.Server] = []
        self._began = time.monotonic()
        self._state = "starting"
        self._seconds: float | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether everything has come up, and runs."""
        return self._state == "ready" and not self._down()

    def start(self) -> None:
        """Bring the cluster up, in the background."""
        self._task = asyncio.create_task(self._start())

    async def stop(self) -> None:
        """End everything. The data stays."""
        self._state = "stopping"
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        # Mirrors first, while there is an API server to give their leases back to.
        await self._mirrors.stop()
        store = [p for p in self._processes if p.command.name == "etcd"]
        rest = [p for p in self._processes if p not in store]
        # An API server keeps nothing: waiting for its watches to end would only take time.
        await asyncio.gather(*(p.stop(grace=0 if p.command.name == "kube-apiserver" else _GRACE) for p in rest))
        await asyncio.gather(*(p.stop(grace=_GRACE) for p in store))
        for server in self._servers:
            server.close()
        for port in vars(self.identity.ports).values():
            ports.release(port)

    def kill(self) -> None:
        """End all processes now."""
        if self._task:
            self._task.cancel()
        self._mirrors.kill()
        for process in self._processes:
            process.kill()

    def describe(self) -> dict[str, Any]:
        """The cluster as it stands in the status file."""
        identity = self.identity
        failing = [p for p in self._processes if p.failures >= _MOST_FAILURES]
        state = self._state
        if failing:
            state = f"failed: {failing[0].command.name} does not stay up"
        elif state == "ready" and (down := self._down()):
            state = f"restarting {down[0]}"
        return {
            "context": identity.name,
            "apiServer": identity.api_server,
            "ready": self.ready,
            "state": state,
            "failedLog": str(failing[0].command.log) if failing else None,
            "seconds": self._seconds,
            "loadBalancer": {
                "kind": str(identity.load_balancer),
                "address": {"ip": identity.load_balancer_address, "hostname": identity.load_balancer_hostname}.get(
                    identity.load_balancer
                ),
            },
            "logs": str(self._folder / "logs"),
            "processes": [process.describe() for process in self._processes],
            "mirrors": self._mirrors.describe(),
        }

    def _write_files(self) -> None:
        egress_proxy.write_selector(self._folder / "egress-selector.yaml", self.identity, self._pki)
        kwok.write_configuration(self._folder / "kwok.yaml", self.identity, self._programs / "stages")
        for component in ("kube-controller-manager", "kube-scheduler", "lab"):
            write_atomically(
                self._folder / f"{component}.kubeconfig",
                kubeconfig.for_component(self._pki, self.identity, component),
            )

    async def _start(self) -> None:
        try:
            await self._bring_up()
            await self._watch_over()
        except (LabError, OSError, ApiError) as error:
            self._state = f"failed: {error}"
            _log.exception("%s: %s", self.identity.name, self._state)

    async def _bring_up(self) -> None:
        identity, made = self.identity, (self._programs, self._folder, self.identity, self._pki)
        self._servers = [
            await egress_proxy.serve(identity, self._pki, self.peer.api),
            await web.serve(web.answering(gateway_probe.answering(self.peer, self._peers)), identity.ports.gateway),
            await web.serve(web.answering(metrics.answering(self._mirrors.metrics_ports)), identity.ports.metrics),
        ]
        self._run(commands.etcd(*made))
        await self._until("etcd", self._etcd_listens)
        self._run(commands.kube_apiserver(*made))
        await self._until("kube-apiserver", self.peer.api.healthy)
        self._run(commands.kube_controller_manager(*made))
        self._run(commands.kube_scheduler(self._programs, self._folder))
        await self._free_nodes()
        self._run(commands.kwok_kubelets(*made), prepare=self._free_nodes)
        await self._until("nodes", self._nodes_exist)
        await self._until("nodes", self._usable)
        self._mirrors.start()
        self._seconds = round(time.monotonic() - self._began, 1)
        self._state = "ready"
        _log.info("%s: ready in %s s", identity.name, self._seconds)

    async def _watch_over(self) -> None:
        """After a crash, be ready again only when the API server says that it is."""
        while True:
            if down := self._down():
                self._state = f"restarting {down[0]}"
                while self._down() or not await asyncio.to_thread(self.peer.api.healthy):
                    await asyncio.sleep(0.2)
                self._state = "ready"
            await asyncio.sleep(0.1)

    def _down(self) -> list[str]:
        return [process.command.name for process in self._processes if not process.running]

    def _run(self, command: Command, prepare: Callable[[], Awaitable[None]] | None = None) -> None:
        process = Process(command, prepare)
        self._processes.append(process)
        process.start()

    async def _until(self, what: str, condition: Callable[[], bool]) -> None:
        self._state = f"starting: waiting for {what}"
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)

    def _etcd_listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.identity.ports.etcd)) == 0

    async def _free_nodes(self) -> None:
        """Take the nodes from a kwok that is gone: a new one would wait until the old one's leases have run out."""
        with contextlib.suppress(ApiError, OSError):
            await asyncio.to_thread(self.peer.api.delete, _LEASES)

    def _nodes_exist(self) -> bool:
        for node in kwok.nodes(self.identity):
            try:
                self.peer.api.create("/api/v1/nodes", node)
            except ApiError as error:
                if error.status != 409:
                    _log.warning("%s: creating a node: %s", self.identity.name, error)
                    return False
            except OSError:
                return False
        return True

    def _usable(self) -> bool:
        """Whether a pod that is created now would be admitted and scheduled."""
        try:
            nodes = self.peer.api.get("/api/v1/nodes")["items"]
            leases = self.peer.api.get(_LEASES)["items"]
            self.peer.api.get("/api/v1/namespaces/default/serviceaccounts/default")
        except (ApiError, OSError):
            return False
        usable = {node["metadata"]["name"] for node in nodes if _usable_node(node)}
        # A lease says that kwok has taken the node over, so that something happens to its pods.
        held = {lease["metadata"]["name"] for lease in leases}
        return (usable & held).issuperset(self.identity.node_names)


def _usable_node(node: dict[str, Any]) -> bool:
    conditions = {c["type"]: c["status"] for c in node.get("status", {}).get("conditions") or []}
    tainted = any(taint["key"] == _TAINT for taint in node["spec"].get("taints") or [])
    return conditions.get("Ready") == "True" and not tainted
