"""DNS server of the lab: resolves the load balancers' host names and no others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.dns import DNSError

_ANSWER_TTL_S = 5

Hosts = Callable[[], Mapping[str, str]]


def answer(query: bytes, hosts: Mapping[str, str]) -> bytes | None:
    """Return the reply to a query, or None if the bytes are no query; names outside `hosts` do not exist."""
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
        reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=_ANSWER_TTL_S))
    return bytes(reply.pack())


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: the event loop passes a class that does not inherit from the documented one.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(data, self._hosts())
        if reply and self._transport:
            self._transport.sendto(reply, addr)


async def answer_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, resolve: Callable[[bytes], Awaitable[bytes | None]]
) -> None:
    """Answer one query over TCP, and close the connection.

    https://www.rfc-editor.org/rfc/rfc1035#section-4.2.2
    """
    try:
        length = int.from_bytes(await reader.readexactly(2), "big")
        reply = await resolve(await reader.readexactly(length))
        if reply:
            writer.write(len(reply).to_bytes(2, "big") + reply)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve(hosts: Hosts, port: int) -> list[asyncio.Server | asyncio.BaseTransport]:
    """Serve on this port of 127.0.0.1, over UDP and TCP; to stop, close the returned servers.

    Raises:
        OSError: the port is taken.
    """

    async def resolve(query: bytes) -> bytes | None:
        return answer(query, hosts())

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_stream(reader, writer, resolve)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(hosts), local_addr=("127.0.0.1", port))
    return [transport, await asyncio.start_server(stream, "127.0.0.1", port)]
