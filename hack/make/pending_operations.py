"""What a Pulumi that was killed leaves behind: processes of its own, and operations that nobody knows the end of.

`kill -9` of the engine alone leaves its providers, each in a process group of its own: they go on with what they were
at, and some never end. Pulumi itself ends none of them.

Before the engine has something made, it notes that in the state. What it was killed over stays noted there, and two
things follow. The next `up` makes it, or takes over what is there, and leaves the note, of which Pulumi warns each time
from then on. And `destroy` doesn't look at it, so that what was made stays in the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

# What the engine was at, as it notes it down.
CREATING, DELETING = "creating", "deleting"
_KUBERNETES = "kubernetes:"
_RELEASE = "kubernetes:helm.sh/v3:Release"


def end_orphans(backend: str) -> list[int]:
    """End what an engine that was killed has left running; the ids of these processes.

    Args:
        backend: the URL of the state, by which they are known to be of this lab.
    """
    orphans = [process for process in psutil.process_iter() if _is_orphan(process, backend)]
    for process in orphans:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(orphans, timeout=5)
    return [process.pid for process in orphans]


def drop_completed_operations(deployment: dict[str, Any]) -> bool:
    """Take out the notes of what has been made since; whether there were any.

    Args:
        deployment: what `pulumi stack export` prints of a state.
    """
    made = {resource["urn"] for resource in deployment.get("resources") or []}
    operations = deployment.get("pending_operations") or []
    deployment["pending_operations"] = [found for found in operations if found["resource"]["urn"] not in made]
    return len(deployment["pending_operations"]) < len(operations)


def adopt_pending(deployment: dict[str, Any]) -> None:
    """Have what may have been made stand among the resources, so that a refresh sees whether it was.

    Only of Kubernetes something may be there. Keys and certificates are nowhere else than in the state.

    Args:
        deployment: what `pulumi stack export` prints of a state.
    """
    drop_completed_operations(deployment)
    for operation in deployment.pop("pending_operations"):
        resource = operation["resource"]
        if operation["type"] == CREATING and resource["type"].startswith(_KUBERNETES):
            deployment.setdefault("resources", []).append({**resource, "id": _id(resource)})


def _id(resource: Mapping[str, Any]) -> str:
    """As the Kubernetes provider makes it."""
    inputs = resource["inputs"]
    named = inputs if resource["type"] == _RELEASE else inputs["metadata"]
    return "/".join(filter(None, (named.get("namespace"), named["name"])))


def _is_orphan(process: psutil.Process, backend: str) -> bool:
    try:
        if process.environ().get("PULUMI_BACKEND_URL") != backend or not _serves_an_engine(process.cmdline()):
            return False
        return all(one.name() != "pulumi" for one in (process, *process.parents()))
    except psutil.Error:  # it has ended, or is somebody else's
        return False


def _serves_an_engine(command: list[str]) -> bool:
    """Whether a command is that of a provider, a language host, or a program."""
    return any("pulumi-resource-" in part or "pulumi-language-" in part or part == "pulumi.dynamic" for part in command)
