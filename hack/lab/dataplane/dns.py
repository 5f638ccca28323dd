"""DNS of a cluster: the names of Services and of pods behind headless Services.

https://github.com/kubernetes/dns/blob/master/docs/specification.md
"""

import asyncio
import logging
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dnslib import QTYPE, RCODE, RR, SRV, A, DNSRecord
from dnslib.dns import DNSError

from hack.lab.dataplane import addresses, namespaces
from hack.lab.dataplane.informer import Informer
from hack.lab.dns import answer_stream

_ANSWER_TTL_S = 5
_FORWARD_TIMEOUT_S = 2.0
_SERVICE_LABEL = "kubernetes.io/service-name"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One address behind a headless Service."""

    address: str
    host: str
    ports: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class DnsName:
    """The parts of `[<port>.<protocol>.|<host>.]<service>.<namespace>.svc.<domain>`."""

    service: str
    namespace: str
    base: str
    host: str = ""
    port: str = ""


def parse_name(name: str) -> DnsName | None:
    """Return the parts of a Service's name, or None for any other name.

    Any domain is accepted, because stack files can set another one than `cluster.local`.
    """
    before, separator, domain = name.lower().rstrip(".").rpartition(".svc.")
    parts = before.split(".")
    if not separator or len(parts) not in (2, 3, 4):
        return None
    service, namespace = parts[-2:]
    base = f"{service}.{namespace}.svc.{domain}."
    if len(parts) == 3:
        return DnsName(service=service, namespace=namespace, base=base, host=parts[0])
    port = parts[0].removeprefix("_") if len(parts) == 4 else ""
    return DnsName(service=service, namespace=namespace, base=base, port=port)


def answer(
    request: DNSRecord, name: DnsName, service: Mapping[str, Any] | None, endpoints: list[Endpoint]
) -> DNSRecord:
    """Return the reply to a query for a Service's name.

    Args:
        request: the query.
        name: the name in the query.
        service: the Service, or None if there is none.
        endpoints: the endpoints of a headless Service.
    """
    reply = request.reply(aa=1, ra=1)
    if service is None:
        reply.header.rcode = RCODE.NXDOMAIN
        return reply
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return reply
    address = spec.get("clusterIP")
    if address and address != "None":
        ports = tuple((port.get("name", ""), port["port"]) for port in spec.get("ports") or [])
        _add(reply, request, name, [Endpoint(address=address, host="", ports=ports)] if not name.host else [])
        return reply
    selected = [endpoint for endpoint in endpoints if name.host in ("", endpoint.host)]
    if not selected:
        reply.header.rcode = RCODE.NXDOMAIN
    _add(reply, request, name, selected)
    return reply


def ready_endpoints(service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]]) -> list[Endpoint]:
    """Return the endpoints of a headless Service; also those that are not ready, if the Service publishes them."""
    name, is_published_early = service["metadata"]["name"], service["spec"].get("publishNotReadyAddresses")
    endpoints: dict[str, Endpoint] = {}
    for item in slices:
        if (item["metadata"].get("labels") or {}).get(_SERVICE_LABEL) != name:
            continue
        ports = tuple((port.get("name") or "", port["port"]) for port in item.get("ports") or [] if port.get("port"))
        for endpoint in item.get("endpoints") or []:
            if endpoint.get("conditions", {}).get("ready") is False and not is_published_early:
                continue
            for address in endpoint["addresses"]:
                host = endpoint.get("hostname") or address.replace(".", "-")
                endpoints[address] = Endpoint(address=address, host=host, ports=ports)
    return list(endpoints.values())


def _add(reply: DNSRecord, request: DNSRecord, name: DnsName, endpoints: list[Endpoint]) -> None:
    for endpoint in endpoints:
        host = f"{endpoint.host}.{name.base}" if endpoint.host else name.base
        if request.q.qtype in (QTYPE.A, QTYPE.ANY):
            reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(endpoint.address), ttl=_ANSWER_TTL_S))
        elif request.q.qtype == QTYPE.SRV:
            for port, number in endpoint.ports:
                if name.port in ("", port):
                    record = SRV(0, 100, number, host)
                    reply.add_answer(RR(request.q.qname, QTYPE.SRV, rdata=record, ttl=_ANSWER_TTL_S))
            reply.add_ar(RR(host, QTYPE.A, rdata=A(endpoint.address), ttl=_ANSWER_TTL_S))


class DnsServer(asyncio.DatagramProtocol):
    """The name server of one cluster; it asks the lab's own server for all other names."""

    def __init__(self, services: Informer, endpoint_slices: Informer, lab_server: tuple[str, int]) -> None:
        """Prepare the server; `lab_server` resolves the host names of load balancers."""
        self._services = services
        self._endpoint_slices = endpoint_slices
        self._lab_server = lab_server
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, namespace: Path) -> None:
        """Serve in the namespace of the nodes, over UDP and TCP, until this process ends.

        Raises:
            OSError: the address is in use there.
        """
        datagrams = namespaces.create_socket(namespace, socket.SOCK_DGRAM)
        stream = namespaces.create_socket(namespace)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for each in (datagrams, stream):
            each.bind((addresses.DNS_ADDRESS, 53))
            each.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=datagrams)
        await asyncio.start_server(self._serve_stream, sock=stream)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # A cast, not a check: the event loop passes a class that does not inherit from the documented one.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a query."""
        task = asyncio.create_task(self._answer_datagram(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_datagram(self, data: bytes, sender: tuple[str, int]) -> None:
        reply = await self._resolve(data)
        if reply and self._transport:
            self._transport.sendto(reply, sender)

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_stream(reader, writer, self._resolve)

    async def _resolve(self, query: bytes) -> bytes | None:
        try:
            request = DNSRecord.parse(query)
            name = parse_name(str(request.q.qname))
        except (DNSError, UnicodeError, IndexError):
            return None
        if name is None:
            return await self._ask_lab_server(query)
        service = self._services.get(name.namespace, name.service)
        endpoints = ready_endpoints(service, self._endpoint_slices.list_namespace(name.namespace)) if service else []
        return bytes(answer(request, name, service, endpoints).pack())

    async def _ask_lab_server(self, query: bytes) -> bytes | None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            try:
                async with asyncio.timeout(_FORWARD_TIMEOUT_S):
                    await loop.sock_connect(client, self._lab_server)
                    await loop.sock_sendall(client, query)
                    return await loop.sock_recv(client, 4096)
            except (OSError, TimeoutError) as error:
                _log.warning("DNS: the lab's server does not answer: %s", error)
                return None
