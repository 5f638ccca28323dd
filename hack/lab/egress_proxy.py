"""Egress proxy of an API server: to its nodes' kubelets, to aggregated APIs and to loopback, and to nothing else.

The API server sends its connections to kubelets, webhooks and aggregated APIs through this proxy (HTTP CONNECT). The
proxy forwards node addresses to kwok, and addresses of aggregated APIs to a fake backend; with a data plane, addresses
of Services and pods to the real pods. Every other address is refused at once: no packet leaves the machine, and a
webhook whose failure may be ignored causes no delay.
https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/
"""

import asyncio
import contextlib
import ipaddress
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hack.lab import web
from hack.lab.aggregated_apiserver import AggregatedApis, NoBackendError
from hack.lab.allocation import ClusterAllocation
from hack.lab.api import ApiClient, ApiError
from hack.lab.errors import LabError
from hack.lab.pki import Pki
from hack.lab.relay import relay
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


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ConnectToPods = Callable[[str, int], Awaitable[Connection]]


async def serve(
    allocation: ClusterAllocation,
    pki: Pki,
    api: ApiClient,
    connect_to_pods: ConnectToPods | None = None,
    *,
    has_fake_apis: bool = True,
) -> asyncio.Server:
    """Serve the proxy of one cluster on its port; it accepts only that cluster's API server.

    Args:
        allocation: the cluster's addresses and ports.
        pki: the cluster's certificates.
        api: the client of its API server.
        connect_to_pods: connects to an address of a Service or a pod; None without a data plane.
        has_fake_apis: whether the fake backend serves aggregated APIs, because no pod does.
    """
    nodes = set(allocation.node_addresses)
    services = ipaddress.ip_network(allocation.service_cidr)
    pods = ipaddress.ip_network(allocation.pod_cidr)
    aggregated_apis = AggregatedApis(api)

    async def connect_to_service(host: str, port: int) -> Connection:
        if connect_to_pods is None:
            return await aggregated_apis.connect(host, port)
        if has_fake_apis and _is_within(host, services):
            with contextlib.suppress(NoBackendError):
                return await aggregated_apis.connect(host, port)
        return await connect_to_pods(host, port)

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
            elif _is_within(host, services) or (connect_to_pods is not None and _is_within(host, pods)):
                target_reader, target_writer = await connect_to_service(host, int(port))
            else:
                raise NoBackendError("the lab has no backend at this address")
        except (NoBackendError, LabError, ApiError, OSError) as error:
            await _refuse(writer, f"{request.target}: {error}")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await relay(reader, writer, target_reader, target_writer)

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
