"""State file of a cluster's data plane, and commands in its containers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hack.lab.dataplane.processes import command_prefix
from hack.lab.errors import LabError
from hack.lab.state_dir import StateDir, read_mapping, write_atomically


def state_file(folder: Path) -> Path:
    """Return the path of the state file, below the cluster's folder."""
    return folder / "dataplane.json"


def describe(nodes: Path, pods: dict[str, Any]) -> dict[str, Any]:
    """Return the state of the data plane that this process runs."""
    return {"pid": os.getpid(), "nodes": str(nodes), "pods": pods}


def write_state(folder: Path, content: dict[str, Any]) -> None:
    """Write the state of a running data plane into the cluster's folder."""
    write_atomically(state_file(folder), json.dumps(content, indent=2) + "\n")


def read_state(folder: Path) -> dict[str, Any]:
    """Return the last state of a cluster's data plane, or an empty one."""
    return read_mapping(state_file(folder))


def delete_state(folder: Path) -> None:
    """Delete the state of an earlier data plane."""
    state_file(folder).unlink(missing_ok=True)


def find_nodes_namespace(folder: Path) -> Path:
    """Return the network namespace of a cluster's nodes.

    Raises:
        LabError: the data plane does not run.
    """
    nodes = read_state(folder).get("nodes")
    if nodes is None or not Path(nodes).exists():
        raise LabError(f"{folder.name}: its data plane does not run; see {folder / 'logs' / 'dataplane.log'}")
    return Path(nodes)


def container_command_prefix(
    state_dir: StateDir, cluster: str, namespace: str, pod: str, container: str | None = None
) -> list[str]:
    """Return the arguments that run a command in a container, as `kubectl exec` would.

    Args:
        state_dir: the lab's folder.
        cluster: the cluster.
        namespace: the pod's namespace.
        pod: the pod's name, or the beginning of it; the newest of several pods is used.
        container: the container; by default the first one that is not a proxy.

    Raises:
        LabError: there is no such cluster, pod or container, or the container does not run.
    """
    pods = read_state(state_dir.cluster(cluster)).get("pods")
    if pods is None:
        raise LabError(
            f"{cluster}: no data plane runs there; start the lab with LAB_DATAPLANE, and name one of its clusters"
        )
    matching = [each for each in pods if each.startswith(f"{namespace}/{pod}") and pods[each]["containers"]]
    if not matching:
        running = ", ".join(sorted(each for each in pods if each.startswith(f"{namespace}/"))) or "none"
        raise LabError(f"{cluster}: {namespace}/{pod}: no such running pod; name one of these: {running}")
    exact = f"{namespace}/{pod}"
    name = exact if exact in matching else matching[-1]
    containers = pods[name]["containers"]
    if container is None:
        container = next((each for each in containers if not each.startswith("linkerd-")), next(iter(containers)))
    if container not in containers:
        raise LabError(f"{cluster}: {name}: {container}: does not run; name one of {', '.join(containers)}")
    entry = containers[container]
    try:
        return command_prefix(entry["pid"], entry["uid"], entry["gid"])
    except OSError as error:
        raise LabError(f"{cluster}: {name}: {container}: has just ended; run the command again") from error
