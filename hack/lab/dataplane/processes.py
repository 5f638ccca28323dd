"""Processes of containers: their user, their end, and further commands in their namespaces."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hack.lab.dataplane import namespaces


def user_of(pod_spec: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[int, int]:
    """Return uid and gid of a container's process: its own, or else those of the pod, or else root's."""
    context = {**(pod_spec.get("securityContext") or {}), **(container.get("securityContext") or {})}
    if "NET_ADMIN" in ((context.get("capabilities") or {}).get("add") or []):
        return 0, 0  # in place of the file capabilities that the image's program has
    uid = context.get("runAsUser") or 0
    return uid, context.get("runAsGroup") or uid


def command_prefix(pid: int, uid: int, gid: int) -> list[str]:
    """Return the arguments that run a command in a container, with its environment; the command ends with its caller.

    Args:
        pid: the pid of the container's process.
        uid: the user of the command.
        gid: the group of the command.

    Raises:
        OSError: the process has ended.
    """
    variables = [
        entry
        for entry in Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        if "=" in entry
    ]
    return [
        namespaces.find_program("nsenter"),
        f"--target={pid}",
        *("--net", "--pid", "--mount", "--uts", "--root", "--wd"),
        *("/usr/bin/env", "-i", *variables),
        *("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--pdeathsig=KILL", "--"),
    ]


async def wait_until_readable(descriptor: int) -> None:
    """Wait until an open file is readable, as a pidfd is after the end of its process; then close it."""
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(descriptor, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
