"""Cleanup after a killed Pulumi: orphaned processes, and pending operations in the stack state.

After `kill -9` of the engine its providers keep running, each in a process group of its own. Some never end, and Pulumi
stops none of them.

Before the engine creates a resource, it writes a pending operation into the state. A killed engine leaves it there:

* the next `up` creates or adopts the resource, but keeps the operation, and Pulumi warns of it from then on;
* `destroy` ignores the operation, so the resource would remain in the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from mesh.pulumi_constants import HELM_RELEASE_TYPE

# Types of pending operations in the stack state.
CREATING, DELETING = "creating", "deleting"
_KUBERNETES_PREFIX = "kubernetes:"
_KILL_TIMEOUT_S = 5


def kill_orphans(backend: str) -> list[int]:
    """Kill the processes that a killed engine has left running; return their ids.

    Args:
        backend: the URL of the state backend, which identifies processes of this lab.
    """
    orphans = [process for process in psutil.process_iter() if _is_orphan(process, backend)]
    for process in orphans:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(orphans, timeout=_KILL_TIMEOUT_S)
    return [process.pid for process in orphans]


def drop_completed_operations(deployment: dict[str, Any]) -> bool:
    """Remove the pending operations of resources that exist in the state; return whether there were any.

    Args:
        deployment: the `deployment` of `pulumi stack export`; it is changed.
    """
    urns = {resource["urn"] for resource in deployment.get("resources") or []}
    operations = deployment.get("pending_operations") or []
    deployment["pending_operations"] = [each for each in operations if each["resource"]["urn"] not in urns]
    return len(deployment["pending_operations"]) < len(operations)


def adopt_pending(deployment: dict[str, Any]) -> None:
    """Turn pending creations into resources, so that a refresh finds out which of them exist.

    This concerns Kubernetes resources only. Keys and certificates exist nowhere but in the state.

    Args:
        deployment: the `deployment` of `pulumi stack export`; it is changed.
    """
    drop_completed_operations(deployment)
    for operation in deployment.pop("pending_operations"):
        resource = operation["resource"]
        if operation["type"] == CREATING and resource["type"].startswith(_KUBERNETES_PREFIX):
            deployment.setdefault("resources", []).append({**resource, "id": _resource_id(resource)})


def _resource_id(resource: Mapping[str, Any]) -> str:
    """Return the id that the Kubernetes provider would set."""
    inputs = resource["inputs"]
    metadata = inputs if resource["type"] == HELM_RELEASE_TYPE else inputs["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


def _is_orphan(process: psutil.Process, backend: str) -> bool:
    try:
        if process.environ().get("PULUMI_BACKEND_URL") != backend or not _is_pulumi_child(process.cmdline()):
            return False
        return all(each.name() != "pulumi" for each in (process, *process.parents()))
    except psutil.Error:  # the process has ended, or belongs to another user
        return False


def _is_pulumi_child(command: list[str]) -> bool:
    """Return whether a command line is that of a provider, a language host or a Pulumi program."""
    return any("pulumi-resource-" in part or "pulumi-language-" in part or part == "pulumi.dynamic" for part in command)
