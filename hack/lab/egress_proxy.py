"""Egress proxy of an API server: to its nodes' kubelets, to aggregated APIs and to loopback, and to nothing else.

The API server sends its connections to kubelets, webhooks and aggregated APIs through this proxy (HTTP CONNECT). The
proxy forwards node addresses to kwok, and addresses of aggregated APIs to a fake backend. Every other address is
refused at once: no packet leaves the machine, and a webhook whose failure may be ignored causes no delay.
https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/
"""

import asyncio
import contextlib
import ipaddress
import json
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hack.lab import web
from hack.lab.aggregated_apiserver import AggregatedApis, NoBackendError
from hack.lab.allocation import ClusterAllocation
from hack.lab.api import ApiClient, ApiError
from hack.lab.pki import Pki
from hack.lab.state_dir import write_atomically


def write_selector(path: Path, allocation: ClusterAllocation, pki: Pki) -> None:
    """Write the API server's egress selector, which sends all connections except etcd's through the proxy."""
    # TLS even on loopback: the API server of Kubernetes 1.36 crashes with a proxy at an http:// address.
    proxied: dict[str, Any] = {
        "proxyProtocol": "HTTPConnect",
        "transport": {
            "tcp": {
                "url": f"https://127.0.0.1:{allocation.ports.egress}",
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


async def serve(allocation: ClusterAllocation, pki: Pki, api: ApiClient) -> asyncio.Server:
    """Serve the proxy of one cluster on its port; it accepts only that cluster's API server."""
    nodes = set(allocation.node_addresses)
    services = ipaddress.ip_network(allocation.service_cidr)
    aggregated_apis = AggregatedApis(api)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki.certificate("egress-ca")))
    tls.load_cert_chain(pki.certificate("egress"), pki.key("egress"))
    tls.verify_mode = ssl.CERT_REQUIRED

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await web.read_request(reader)
        if request is None:
            return
        host, _, port = request.target.rpartition(":")
        if request.method != "CONNECT" or not port.isdigit():
            await _refuse(writer, f"{request.method} {request.target}: this proxy supports only CONNECT host:port")
            return
        try:
            if host in nodes:
                target_reader, target_writer = await asyncio.open_connection("127.0.0.1", allocation.ports.kubelet)
            elif host in ("127.0.0.1", "localhost"):
                target_reader, target_writer = await asyncio.open_connection("127.0.0.1", int(port))
            elif _is_within(host, services):
                target_reader, target_writer = await aggregated_apis.connect(host, int(port))
            else:
                raise NoBackendError("the lab has no backend at this address")
        except (NoBackendError, ApiError, OSError) as error:
            await _refuse(writer, f"{request.target}: {error}")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await _run_until_one_ends(_pump(reader, target_writer), _pump(target_reader, writer))
        finally:
            target_writer.close()

    return await web.serve(connect, allocation.ports.egress, tls=tls)


def _is_within(host: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(host) in network
    except ValueError:
        return False


async def _refuse(writer: asyncio.StreamWriter, reason: str) -> None:
    response = web.HttpResponse(status=502, body=f"{reason}\n".encode())
    writer.write(web.encode_head(response) + response.body)
    await writer.drain()


async def _run_until_one_ends(*pumps: Coroutine[Any, Any, None]) -> None:
    """Run both directions until one ends; TLS inside the connection needs both."""
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
