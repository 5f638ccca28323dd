"""Probes and hooks that send requests to a pod, from the namespace of its node.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.lab.dataplane import namespaces

_MAX_RESPONSE_BYTES = 10_000
_PERIOD_UNTIL_SUCCESS_S = 0.5

RunCommand = Callable[[Sequence[str], float], Awaitable[bool]]
"""Runs a command in a container, for at most some seconds; returns whether it succeeded."""


@dataclass(frozen=True, kw_only=True)
class ProbeTarget:
    """The place from which and to which probes are sent."""

    nodes: Path
    address: str
    ports: Mapping[str, int]  # by name
    run_command: RunCommand

    def port(self, port: int | str) -> int:
        """Return the number of a port."""
        return int(self.ports.get(str(port), port))


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """Settings of a probe, with the defaults of Kubernetes."""

    action: Mapping[str, Any]
    initial_delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3

    async def succeeds(self, target: ProbeTarget) -> bool:
        """Send the probe once."""
        return await perform(self.action, target, self.timeout_s)

    def interval_s(self, *, has_succeeded: bool) -> float:
        """Return the seconds until the next try: short before the first success, so that tests need not wait."""
        return self.period_s if has_succeeded else min(self.period_s, _PERIOD_UNTIL_SUCCESS_S)


def parse_probe(settings: Mapping[str, Any] | None) -> ProbeSettings | None:
    """Return the probe of a container's field, or None without one."""
    if not settings:
        return None
    return ProbeSettings(
        action=settings,
        initial_delay_s=settings.get("initialDelaySeconds") or 0,
        period_s=settings.get("periodSeconds") or 10,
        timeout_s=settings.get("timeoutSeconds") or 1,
        success_threshold=settings.get("successThreshold") or 1,
        failure_threshold=settings.get("failureThreshold") or 3,
    )


async def perform(action: Mapping[str, Any], target: ProbeTarget, timeout: float) -> bool:
    """Perform the action of a probe or a hook; return whether it succeeded."""
    if "exec" in action:
        return await target.run_command(action["exec"]["command"], timeout)
    if "sleep" in action:
        await asyncio.sleep(action["sleep"]["seconds"])
        return True
    if "httpGet" in action:
        get = action["httpGet"]
        host, port = get.get("host") or target.address, target.port(get["port"])
        is_tls = get.get("scheme", "HTTP") == "HTTPS"
        status = await _request_status(target.nodes, host, port, get.get("path", "/"), is_tls=is_tls, timeout=timeout)
        return status is not None and 200 <= status < 400
    if "grpc" in action:
        return await _accepts_connections(target, int(action["grpc"]["port"]), timeout)
    if "tcpSocket" in action:
        return await _accepts_connections(target, target.port(action["tcpSocket"]["port"]), timeout)
    return True


async def _request_status(
    namespace: Path, host: str, port: int, path: str, *, is_tls: bool, timeout: float
) -> int | None:
    """Return the status of a response to GET, or None if there is none in time."""
    try:
        async with asyncio.timeout(timeout):
            client = await namespaces.connect(namespace, host, port, timeout=timeout)
            tls = ssl._create_unverified_context() if is_tls else None
            reader, writer = await asyncio.open_connection(
                sock=client, ssl=tls, server_hostname=host if is_tls else None
            )
            try:
                head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: kube-probe/1.36\r\n"
                writer.write(f"{head}Accept: */*\r\nConnection: close\r\n\r\n".encode())
                status_line = await reader.readline()
                with contextlib.suppress(ValueError, OSError):
                    await reader.read(_MAX_RESPONSE_BYTES)
                return int(status_line.split(b" ", 2)[1])
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, IndexError):
        return None


async def _accepts_connections(target: ProbeTarget, port: int, timeout: float) -> bool:
    try:
        (await namespaces.connect(target.nodes, target.address, port, timeout=timeout)).close()
    except (OSError, TimeoutError):
        return False
    return True
