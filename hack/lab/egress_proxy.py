"""The way out of an API server: to its own nodes' kubelets, to aggregated APIs, to loopback, and nowhere else.

The API server sends its connections to kubelets, webhooks and aggregated APIs here (HTTP CONNECT). Node addresses lead
to kwok, those of aggregated APIs to a stand-in; every other address is refused at once, so that a webhook that may be
ignored costs nothing, and no packet leaves the machine. https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/
"""

import asyncio
import contextlib
import ipaddress
import json
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hack.lab import aggregated_apiserver, web
from hack.lab.aggregated_apiserver import NoBackend
from hack.lab.allocation import ClusterAllocation
from hack.lab.api import ApiClient, ApiError
from hack.lab.pki import Pki
from hack.lab.state_dir import write_atomically


def write_selector(path: Path, identity: ClusterAllocation, pki: Pki) -> None:
    """Write the API server's egress selector: everything but etcd goes through the proxy."""
    # With TLS although it is loopback: an API server of 1.36 crashes over a proxy at an http:// address.
    proxied: dict[str, Any] = {
        "proxyProtocol": "HTTPConnect",
        "transport": {
            "tcp": {
                "url": f"https://127.0.0.1:{identity.ports.egress}",
                "tlsConfig": {
                    "caBundle": str(pki.certificate("egress-ca")),
                    "clientCert": str(pki.certificate("egress-client")),
                    "clientKey": str(pki.key("egress-client")),
                },
            }
        },
    }
    content = {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {"name": "cluster", "connection": proxied},
            {"name": "controlplane", "connection": proxied},
            {"name": "etcd", "connection": {"proxyProtocol": "Direct"}},
        ],
    }
    write_atomically(path, json.dumps(content, indent=2) + "\n")


async def serve(identity: ClusterAllocation, pki: Pki, api: ApiClient) -> asyncio.Server:
    """Run the proxy of one cluster on its port; only that cluster's API server is let in."""
    nodes = set(identity.node_addresses)
    services = ipaddress.ip_network(identity.service_cidr)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki.certificate("egress-ca")))
    tls.load_cert_chain(pki.certificate("egress"), pki.key("egress"))
    tls.verify_mode = ssl.CERT_REQUIRED

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await web.read_request(reader)
        if request is None:
            return
        host, _, port = request.target.rpartition(":")
        if request.method != "CONNECT" or not port.isdigit():
            await _refuse(writer, f"{request.method} {request.target}: only CONNECT host:port is served here")
            return
        try:
            if host in nodes:
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", identity.ports.kubelet)
            elif host in ("127.0.0.1", "localhost"):
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", int(port))
            elif _within(host, services):
                there_reader, there_writer = await aggregated_apiserver.connect(api, host, int(port))
            else:
                raise NoBackend("nothing answers there in this lab")
        except (NoBackend, ApiError, OSError) as error:
            await _refuse(writer, f"{request.target}: {error}")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await _join(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            there_writer.close()

    return await web.serve(connect, identity.ports.egress, tls=tls)


def _within(host: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False


async def _refuse(writer: asyncio.StreamWriter, reason: str) -> None:
    response = web.Response(status=502, body=f"{reason}\n".encode())
    writer.write(web.head(response) + response.body)
    await writer.drain()


async def _join(*pumps: Coroutine[Any, Any, None]) -> None:
    """Run both directions until one ends: inside is TLS, which has no use for half a connection."""
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
