"""Free ports on loopback."""

import os
import random
import socket
from collections.abc import Iterable

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
    """A free port: the preferred one where it is free, else one that this process has not given away yet.

    Raises:
        OSError: none of a thousand tries was free.
    """
    if preferred is not None and is_free(preferred):
        _given.add(preferred)
        return preferred
    avoided = {*avoid, *_given}
    for _ in range(1000):
        port = _draw.choice(_RANGE)
        if port not in avoided and is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no free port on 127.0.0.1 between {_RANGE.start} and {_RANGE.stop - 1}")


def release(port: int) -> None:
    """Let a port be given away again."""
    _given.discard(port)
