"""The one process that makes a lab be what its spec says, and says in its status what there is.

    python -m hack.lab.supervisor <the lab's folder> [<number of a process>]

Commands start it and talk to it through files only; they may die, it goes on. It ends when no cluster is wanted, when
it is told to (SIGTERM), when the lab's folder is gone, or with the process that it is told of. Its children can't
outlive it.
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

from hack.lab import allocation, charts, dns, kubeconfig, ports, processes, programs, spec, web
from hack.lab.cluster import ClusterProcesses
from hack.lab.errors import LabError
from hack.lab.gateway_probe import Peer
from hack.lab.spec import ClusterSpec, Spec
from hack.lab.state_dir import StateDir, read_mapping, write_atomically

_TICK = 0.2  # seconds between looks at the spec and the children
_LOCK_PATIENCE = 5.0  # seconds: a command that only looks holds the lock for a moment
_log = logging.getLogger("hack.lab.supervisor")


class Supervisor:
    """Reconciles one lab."""

    def __init__(self, home: StateDir, owner: Mapping[str, Any] | None) -> None:
        """Nothing runs yet: `run` does it all. It won't outlive its `owner`."""
        self._home = home
        self._owner = owner
        self._clusters: dict[str, ClusterProcesses] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, str] = {}
        self._spec = Spec()
        self._spec_seen: int | None = None
        self._ports: dict[str, int] = {}
        self._written = ""
        self._stopping = asyncio.Event()
        self._itself = processes.record(os.getpid())

    async def run(self) -> None:
        """Supervise until there is nothing left to do."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        before = self._home.read_status().get("clusters", {})
        left = processes.end(processes.recorded(before.values()), seconds=5)
        if left:
            raise LabError(f"processes of an earlier run can't be ended: {left}")
        opened = await self._serve()
        try:
            await self._reconcile_until_done()
        finally:
            for server in opened:
                server.close()

    def _folder_is_there(self) -> bool:
        return self._home.folder.is_dir()

    async def _reconcile_until_done(self) -> None:
        while True:
            if not self._folder_is_there():
                _log.warning("%s is gone; stopping everything", self._home.folder)
                for cluster in self._clusters.values():
                    cluster.kill()
                return
            if self._owner is not None and not processes.alive([self._owner]):
                _log.warning("process %s is gone; stopping everything", self._owner["pid"])
                self._owner = None
                self._stopping.set()
            try:
                if self._stopping.is_set():
                    self._spec = Spec()
                else:
                    self._read_spec()
                await self._reconcile()
                self._write_status(running=True)
                if not self._clusters and not self._ending and self._may_end():
                    self._write_status(running=False)
                    return
            except FileNotFoundError:
                continue  # the folder went away under our hands: seen above
            await asyncio.sleep(_TICK)

    async def _serve(self) -> list[asyncio.Server | asyncio.BaseTransport]:
        known = read_mapping(self._home.ports)
        self._ports = {name: ports.choose(preferred=known.get(name)) for name in ("charts", "dns")}
        write_atomically(self._home.ports, json.dumps(self._ports, indent=2) + "\n")
        repository = await web.serve(web.answering(charts.answering(self._chart_folders)), self._ports["charts"])
        return [repository, *await dns.serve(self._hosts, self._ports["dns"])]

    def _chart_folders(self) -> list[Path]:
        chosen = [Path(folder) for folder in self._spec.chart_folders] or programs.chart_folders()
        return [*map(Path, self._spec.own_chart_folders), *chosen]

    def _linkerd_folders(self) -> list[Path]:
        return [Path(folder) for folder in self._spec.linkerd_folders]

    def _hosts(self) -> dict[str, str]:
        known = [cluster.identity for cluster in self._clusters.values()]
        return {i.load_balancer_hostname: i.load_balancer_address for i in known}

    def _peers(self) -> list[Peer]:
        return [cluster.peer for cluster in self._clusters.values()]

    def _dns_address(self) -> str:
        return f"127.0.0.1:{self._ports['dns']}"

    def _read_spec(self) -> None:
        try:
            seen = self._home.spec.stat().st_mtime_ns
        except FileNotFoundError:
            self._spec = Spec()
            return
        if seen == self._spec_seen:
            return
        self._spec_seen = seen
        try:
            self._spec = spec.load(self._home)
            self._refused.clear()
        except LabError as error:
            _log.error("%s; going on with what was wanted before", error)

    async def _reconcile(self) -> None:
        for name in [name for name in self._clusters if name not in self._spec.names]:
            _log.info("%s: stopping", name)
            self._ending[name] = asyncio.create_task(self._clusters.pop(name).stop())
        for name in [name for name, task in self._ending.items() if task.done()]:
            task = self._ending.pop(name)
            if error := task.exception():
                _log.error("%s: stopping: %r", name, error)
            _log.info("%s: stopped", name)
        for wanted in self._spec.clusters:
            if wanted.name not in {*self._clusters, *self._ending, *self._refused}:
                self._begin(wanted)

    def _begin(self, wanted: ClusterSpec) -> None:
        try:
            settled = allocation.allocate(self._home, wanted)
            cluster = ClusterProcesses(
                self._home,
                settled,
                programs.kubernetes(),
                peers=self._peers,
                dns=self._dns_address,
                linkerd=self._linkerd_folders,
            )
        except (LabError, OSError) as error:
            _log.error("%s: %s", wanted.name, error)
            self._refused[wanted.name] = f"failed: {error}"
            return
        _log.info("%s: starting on %s", wanted.name, settled.api_server)
        self._clusters[wanted.name] = cluster
        kubeconfig.write_merged(self._home)
        cluster.start()

    def _may_end(self) -> bool:
        """Whether nothing is wanted still, asked under the lock that a `start` holds while it says what it wants."""
        lock = self._home.try_lock("edit.lock")
        if lock is None:
            return self._stopping.is_set()
        # The lock stays held until this process ends: a `start` that comes now then finds no supervisor, and makes one.
        if self._stopping.is_set():
            return True
        self._spec_seen = None
        self._read_spec()
        if self._spec.clusters:
            lock.close()
            return False
        self._final_lock = lock
        return True

    def _write_status(self, *, running: bool) -> None:
        clusters = {name: cluster.describe() for name, cluster in self._clusters.items()}
        for name, reason in self._refused.items():
            clusters[name] = {
                "context": name,
                "ready": False,
                "state": reason,
                "logs": str(self._home.log),
                "processes": [],
                "mirrors": [],
            }
        content = {
            "running": running,
            "supervisor": {**self._itself, "log": str(self._home.log)},
            "kubeconfig": str(self._home.kubeconfig),
            "charts": f"http://127.0.0.1:{self._ports['charts']}",
            "dns": self._dns_address(),
            "ending": sorted(self._ending),
            "clusters": clusters,
        }
        text = json.dumps(content, indent=2) + "\n"
        if text != self._written:
            write_atomically(self._home.status, text)
            self._written = text


def main() -> int:
    """Run the supervisor of a lab; see above for the arguments."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    home = StateDir(folder=Path(sys.argv[1]))
    try:
        owner = processes.record(int(sys.argv[2])) if len(sys.argv) > 2 else None
    except psutil.NoSuchProcess as error:
        _log.error("%s", error)
        return 1
    deadline = time.monotonic() + _LOCK_PATIENCE
    while (lock := home.try_lock("supervisor.lock")) is None:
        if time.monotonic() > deadline:
            _log.error("another supervisor serves %s", home.folder)
            return 1
        time.sleep(0.05)
    try:
        asyncio.run(_run(home, owner))
    except (LabError, OSError) as error:
        _log.error("%s", error)
        return 1
    finally:
        lock.close()
    return 0


async def _run(home: StateDir, owner: Mapping[str, Any] | None) -> None:
    await Supervisor(home, owner).run()


if __name__ == "__main__":
    sys.exit(main())
