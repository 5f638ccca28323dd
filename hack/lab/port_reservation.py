"""Reservation of loopback ports, so that two labs that start at the same time choose different ports."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# Below the range of ports for outgoing connections, so that no connection takes the port of a stopped cluster.
_RANGE = range(20000, 32000)

_MAX_ATTEMPTS = 1000
_random = random.Random(os.urandom(16))
_reserved: set[int] = set()


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of 127.0.0.1 now, by TCP and (for the DNS) by UDP."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            stream.bind(("127.0.0.1", port))
            stream.listen()
            datagrams.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def reserve_port(*, preferred: int | None = None, avoid: Iterable[int] = ()) -> int:
    """Reserve a free port for this process, until it ends or calls `release_port`; return the port.

    Args:
        preferred: the port to reserve if it is free.
        avoid: ports that are not chosen.

    Raises:
        OSError: no free port was found in a thousand attempts, or the lock file cannot be opened.
    """
    if preferred is not None and _try_reserve(preferred):
        return preferred
    unavailable = {*avoid, *_reserved}
    for _ in range(_MAX_ATTEMPTS):
        port = _random.choice(_RANGE)
        if port not in unavailable and _try_reserve(port):
            return port
    raise OSError(f"no free port on 127.0.0.1 between {_RANGE.start} and {_RANGE.stop - 1}")


def release_port(port: int) -> None:
    """Release a reserved port."""
    _reserved.discard(port)
    fcntl.lockf(_open_ledger(), fcntl.LOCK_UN, 1, port)


def _try_reserve(port: int) -> bool:
    """Reserve a port unless it is in use or reserved by another process; return whether it is reserved."""
    ledger = _open_ledger()
    try:
        fcntl.lockf(ledger, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    if not is_free(port):
        if port not in _reserved:
            release_port(port)
        return False
    _reserved.add(port)
    return True


@cache
def _open_ledger() -> int:
    """Open the lock file: a process locks one byte per reserved port, and the lock ends with the process."""
    file = Path(tempfile.gettempdir()) / f"multicluster-mesh-ports-{os.getuid()}"
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
