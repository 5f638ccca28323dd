"""Supervisor of a lab: the process that reconciles the clusters with the spec, and writes the status.

    python -m hack.lab.supervisor <the lab's folder> [<pid of the owner>]

Commands start the supervisor and communicate with it by files only, so the supervisor survives the commands. The
supervisor ends if the spec has no clusters, on SIGTERM, if the lab's folder is deleted, or with the owner. Its children
cannot outlive the supervisor.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from hack.lab import allocation, charts, dns, kubeconfig, port_reservation, programs, restarting_process, spec, web
from hack.lab.cluster import ClusterProcesses
from hack.lab.dataplane import supervision as dataplane
from hack.lab.errors import LabError
from hack.lab.gateway_probe import RunningCluster
from hack.lab.spec import ClusterSpec, LabSpec
from hack.lab.state_dir import StateDir, read_mapping, write_atomically

_POLL_INTERVAL_S = 0.2
_LOCK_TIMEOUT_S = 5.0  # a command that only tests the lock holds it for a moment
_KILL_TIMEOUT_S = 5
_log = logging.getLogger("hack.lab.supervisor")


class Supervisor:
    """The supervisor of one lab."""

    def __init__(self, state_dir: StateDir, owner: Mapping[str, Any] | None) -> None:
        """Prepare the supervisor without starting it; it ends with its `owner` process."""
        self._state_dir = state_dir
        self._owner = owner
        self._clusters: dict[str, ClusterProcesses] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, str] = {}
        self._spec = LabSpec()
        self._spec_mtime_ns: int | None = None
        self._ports: dict[str, int] = {}
        self._written = ""
        self._router: Path | None = None
        self._stopping = asyncio.Event()
        self._own_record = restarting_process.create_record(os.getpid())

    async def run(self) -> None:
        """Reconcile the lab until nothing is left to run."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        before = self._state_dir.read_status().get("clusters", {})
        survivors = restarting_process.kill_recorded(
            restarting_process.list_records(before.values()), seconds=_KILL_TIMEOUT_S
        )
        if survivors:
            raise LabError(f"processes of an earlier run cannot be killed: {survivors}; stop them as their owner")
        servers = await self._serve()
        try:
            await self._reconcile_until_done()
        finally:
            for server in servers:
                server.close()

    def _has_folder(self) -> bool:
        return self._state_dir.folder.is_dir()

    async def _reconcile_until_done(self) -> None:
        while True:
            if not self._has_folder():
                _log.warning("%s was deleted; stopping everything", self._state_dir.folder)
                for cluster in self._clusters.values():
                    cluster.kill()
                return
            if self._owner is not None and not restarting_process.find_alive([self._owner]):
                _log.warning("the owner, process %s, has ended; stopping everything", self._owner["pid"])
                self._owner = None
                self._stopping.set()
            try:
                if self._stopping.is_set():
                    self._spec = LabSpec()
                else:
                    self._read_spec()
                await self._reconcile()
                self._write_status(running=True)
                if not self._clusters and not self._ending and self._can_end():
                    self._write_status(running=False)
                    return
            except FileNotFoundError:
                continue  # the folder was deleted meanwhile; the next round handles it
            await asyncio.sleep(_POLL_INTERVAL_S)

    async def _serve(self) -> list[asyncio.Server | asyncio.BaseTransport]:
        known = read_mapping(self._state_dir.ports)
        self._ports = {name: port_reservation.reserve_port(preferred=known.get(name)) for name in ("charts", "dns")}
        write_atomically(self._state_dir.ports, json.dumps(self._ports, indent=2) + "\n")
        repository = await web.serve(
            web.create_connection_handler(charts.create_handler(self._chart_folders)), self._ports["charts"]
        )
        return [repository, *await dns.serve(self._host_addresses, self._ports["dns"])]

    def _chart_folders(self) -> list[Path]:
        folders = [Path(folder) for folder in self._spec.chart_folders] or programs.list_chart_folders()
        return [*map(Path, self._spec.own_chart_folders), *folders]

    def _linkerd_folders(self) -> list[Path]:
        return [Path(folder) for folder in self._spec.linkerd_folders]

    def _host_addresses(self) -> dict[str, str]:
        known = [cluster.allocation for cluster in self._clusters.values()]
        return {i.load_balancer_hostname: i.load_balancer_address for i in known}

    def _peers(self) -> list[RunningCluster]:
        return [cluster.peer for cluster in self._clusters.values()]

    def _dns_address(self) -> str:
        return f"127.0.0.1:{self._ports['dns']}"

    def _read_spec(self) -> None:
        try:
            mtime_ns = self._state_dir.spec.stat().st_mtime_ns
        except FileNotFoundError:
            self._spec = LabSpec()
            return
        if mtime_ns == self._spec_mtime_ns:
            return
        self._spec_mtime_ns = mtime_ns
        try:
            self._spec = spec.load(self._state_dir)
            self._failures.clear()
        except LabError as error:
            _log.error("%s; the previous spec stays in force", error)

    async def _reconcile(self) -> None:
        for name in [name for name in self._clusters if name not in self._spec.names]:
            _log.info("%s: stopping", name)
            self._ending[name] = asyncio.create_task(self._clusters.pop(name).stop())
        for name in [name for name, task in self._ending.items() if task.done()]:
            task = self._ending.pop(name)
            if error := task.exception():
                _log.error("%s: stopping: %r", name, error)
            _log.info("%s: stopped", name)
        for cluster_spec in self._spec.clusters:
            if cluster_spec.name not in {*self._clusters, *self._ending, *self._failures}:
                self._start_cluster(cluster_spec)

    def _start_cluster(self, cluster_spec: ClusterSpec) -> None:
        try:
            cluster_allocation = allocation.allocate(self._state_dir, cluster_spec)
            cluster = ClusterProcesses(
                self._state_dir,
                cluster_allocation,
                programs.find_kubernetes_folder(),
                peers=self._peers,
                dns=self._dns_address,
                linkerd=self._linkerd_folders,
                router=self._ensure_router(),
                has_fake_apis=not dataplane.has_tap(map(Path, self._spec.dataplane_folders)),
            )
        except (LabError, OSError) as error:
            _log.error("%s: %s", cluster_spec.name, error)
            self._failures[cluster_spec.name] = f"failed: {error}"
            return
        _log.info("%s: starting on %s", cluster_spec.name, cluster_allocation.api_server)
        self._clusters[cluster_spec.name] = cluster
        kubeconfig.write_merged(self._state_dir)
        cluster.start()

    def _ensure_router(self) -> Path | None:
        """Return the network namespace between the clusters, or None if the lab has no data plane."""
        if self._router is None and self._spec.dataplane_folders:
            self._router = dataplane.create_router(flat=self._spec.is_flat)
        return self._router

    def _can_end(self) -> bool:
        """Return whether the spec is still empty; a `start` changes the spec only while it holds the edit lock."""
        lock = self._state_dir.try_lock("edit.lock")
        if lock is None:
            return self._stopping.is_set()
        # The lock is held until this process ends. A `start` that waits for it then starts a new supervisor.
        if self._stopping.is_set():
            return True
        self._spec_mtime_ns = None
        self._read_spec()
        if self._spec.clusters:
            lock.close()
            return False
        self._final_lock = lock
        return True

    def _write_status(self, *, running: bool) -> None:
        clusters = {name: cluster.describe() for name, cluster in self._clusters.items()}
        for name, reason in self._failures.items():
            clusters[name] = {
                "context": name,
                "ready": False,
                "state": reason,
                "logs": str(self._state_dir.log),
                "processes": [],
                "mirrors": [],
            }
        content = {
            "running": running,
            "supervisor": {**self._own_record, "log": str(self._state_dir.log)},
            "kubeconfig": str(self._state_dir.kubeconfig),
            "charts": f"http://127.0.0.1:{self._ports['charts']}",
            "dns": self._dns_address(),
            "ending": sorted(self._ending),
            "clusters": clusters,
        }
        text = json.dumps(content, indent=2) + "\n"
        if text != self._written:
            write_atomically(self._state_dir.status, text)
            self._written = text


def main() -> int:
    """Run the supervisor of a lab (for the arguments see the module's docstring)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    state_dir = StateDir(folder=Path(sys.argv[1]))
    try:
        owner = restarting_process.create_record(int(sys.argv[2])) if len(sys.argv) > 2 else None
    except psutil.NoSuchProcess as error:
        _log.error("%s", error)
        return 1
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while (lock := state_dir.try_lock("supervisor.lock")) is None:
        if time.monotonic() > deadline:
            _log.error("%s: another supervisor is running", state_dir.folder)
            return 1
        time.sleep(0.05)
    try:
        asyncio.run(_run(state_dir, owner))
    except (LabError, OSError) as error:
        _log.error("%s", error)
        return 1
    finally:
        lock.close()
    return 0


async def _run(state_dir: StateDir, owner: Mapping[str, Any] | None) -> None:
    await Supervisor(state_dir, owner).run()


if __name__ == "__main__":
    sys.exit(main())
