"""Data plane of one cluster, as the lab's supervisor uses it: its process, and connections to pods."""

import asyncio
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from hack.lab import programs
from hack.lab.allocation import ClusterAllocation
from hack.lab.dataplane import namespaces, network, state
from hack.lab.restarting_process import Command
from hack.lab.state_dir import StateDir
from mesh.paths import PROJECT_ROOT

_CONNECT_TIMEOUT_S = 3.0


def create_router(*, flat: bool) -> Path:
    """Return the network namespace between the clusters, which ends with this process.

    Args:
        flat: whether pods reach the pods of other clusters.

    Raises:
        LabError: the namespace cannot be created or set up.
    """
    descriptor = namespaces.open_network()
    router = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    try:
        network.set_up_router(router, flat=flat)
    except BaseException:
        os.close(descriptor)
        raise
    return router


def has_tap(folders: Iterable[Path]) -> bool:
    """Return whether the pods of viz serve its aggregated API, because each folder has the program `tap`."""
    has_program = [(folder / "tap").is_file() for folder in folders]
    return bool(has_program) and all(has_program)


def command(state_dir: StateDir, allocation: ClusterAllocation, router: Path) -> Command:
    """Return the command of a cluster's data plane."""
    arguments = (state_dir.folder, allocation.name, router, programs.find_kube_proxy(), programs.find_kubelet())
    return Command(
        name="dataplane",
        argv=(sys.executable, "-m", "hack.lab.dataplane", *map(str, arguments)),
        log=state_dir.cluster(allocation.name) / "logs" / "dataplane.log",
        environment={
            "PATH": namespaces.SYSTEM_PATH,
            "PYTHONPATH": str(PROJECT_ROOT),
        },
    )


async def connect_to_pods(folder: Path, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a Service or a pod, from the namespace of the nodes of the cluster with this folder.

    Raises:
        LabError: the data plane does not run.
        OSError: no server answers.
    """
    nodes = state.find_nodes_namespace(folder)
    client = await namespaces.connect(nodes, host, port, timeout=_CONNECT_TIMEOUT_S)
    return await asyncio.open_connection(sock=client)
