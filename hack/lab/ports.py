"""Free ports on loopback, each for one lab of this machine: two that start at once look before either listens."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# Below the range from which operating systems take ports for outgoing connections, so that a port that a cluster had
# yesterday is not some connection's port today.
_RANGE = range(20000, 32000)

_draw = random.Random(os.urandom(16))
_given: set[int] = set()


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now, by TCP and (for the DNS) by UDP."""
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


def choose(*, preferred: int | None = None, avoid: Iterable[int] = ()) -> int:
    """A free port: the preferred one where it is free, else one that no process has given away yet.

    It is this process's until it ends, or releases it.

    Raises:
        OSError: none of a thousand tries was free, or there is nowhere to note which are given away.
    """
    if preferred is not None and _take(preferred):
        return preferred
    avoided = {*avoid, *_given}
    for _ in range(1000):
        port = _draw.choice(_RANGE)
        if port not in avoided and _take(port):
            return port
    raise OSError(f"no free port on 127.0.0.1 between {_RANGE.start} and {_RANGE.stop - 1}")


def release(port: int) -> None:
    """Let a port be given away again."""
    _given.discard(port)
    fcntl.lockf(_ledger(), fcntl.LOCK_UN, 1, port)


def _take(port: int) -> bool:
    """Make it this process's, if it is free and no other process's."""
    ledger = _ledger()
    try:
        fcntl.lockf(ledger, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    if not is_free(port):
        if port not in _given:
            release(port)
        return False
    _given.add(port)
    return True


@cache
def _ledger() -> int:
    """A file of which each process locks one byte per port, until it ends, however it does."""
    file = Path(tempfile.gettempdir()) / f"multicluster-mesh-ports-{os.getuid()}"
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
