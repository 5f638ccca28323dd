"""Listeners in namespaces that lead to the API servers, which listen on the machine's loopback interface only.

A socket belongs to the namespace in which it was created, so no rule of the machine's firewall is needed.
"""

import asyncio
import socket
from pathlib import Path

from hack.lab.dataplane import namespaces
from hack.lab.relay import relay

_BACKLOG = 128


async def forward(namespace: Path, address: str, port: int) -> asyncio.Server:
    """Forward connections to an address of a namespace to the same port of the machine's 127.0.0.1.

    Raises:
        OSError: the address is in use there.
    """
    listener = namespaces.create_socket(namespace)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
    except BaseException:
        listener.close()
        raise

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", port)
            await relay(reader, writer, target_reader, target_writer)
        except OSError:
            pass  # the API server does not run; the client gets the end of the connection
        finally:
            writer.close()

    return await asyncio.start_server(handle, sock=listener, backlog=_BACKLOG)
