"""The lab's DNS: it knows the load balancers' host names, and nothing else."""

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.dns import DNSError

_SECONDS = 5  # time to live of an answer

Hosts = Callable[[], Mapping[str, str]]


def answer(query: bytes, hosts: Mapping[str, str]) -> bytes | None:
    """The reply to a query, or None for bytes that are none. Other names than the given do not exist."""
    try:
        request = DNSRecord.parse(query)
        name = str(request.q.qname).rstrip(".").lower()
    except (DNSError, UnicodeError, IndexError):
        return None
    reply = request.reply(ra=1)
    address = hosts.get(name)
    if address is None:
        reply.header.rcode = RCODE.NXDOMAIN
    elif request.q.qtype in (QTYPE.A, QTYPE.ANY):
        reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=_SECONDS))
    return bytes(reply.pack())


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: the event loop's own class is no subclass of the one it documents.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(data, self._hosts())
        if reply and self._transport:
            self._transport.sendto(reply, addr)


async def serve(hosts: Hosts, port: int) -> list[asyncio.Server | asyncio.BaseTransport]:
    """Answer on this port of 127.0.0.1, over UDP and TCP; close what is returned to stop.

    Raises:
        OSError: the port is taken.
    """

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            length = int.from_bytes(await reader.readexactly(2), "big")
            reply = answer(await reader.readexactly(length), hosts())
            if reply:
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(hosts), local_addr=("127.0.0.1", port))
    return [transport, await asyncio.start_server(stream, "127.0.0.1", port)]
