"""Responder to the gateway probes of service mirrors; it follows the path that a packet would take.

A mirror sends `http://probe-gateway-<target>:4191/ready`, in later releases `http://probe-<link>:4191/ready`, to this
HTTP proxy. The responder resolves the host name to an address by the Service and the Endpoints of the source cluster.
The lab's cluster with this address must have a gateway Service with this address, port and path, and ready pods.

The answer is 200 if all of this exists, else 502 with the reason.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hack.lab import web
from hack.lab.allocation import ClusterAllocation
from hack.lab.api import ApiClient, ApiError

_VERDICT_LIFETIME_S = 1.0
_MAX_CACHED_VERDICTS = 1000
_PREFIX = "mirror.linkerd.io"
_PROBE_PORT = "mc-probe"


@dataclass(frozen=True, kw_only=True)
class RunningCluster:
    """A running cluster of the lab, and the client of its API server."""

    allocation: ClusterAllocation
    api: ApiClient


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The probe of a mirror; an empty namespace means any."""

    namespace: str
    service: str
    port: int
    path: str


class ProbeError(Exception):
    """A probe would have failed; the message contains the reason."""


def create_handler(source: RunningCluster, peers: Callable[[], Sequence[RunningCluster]]) -> web.RequestHandler:
    """Return the request handler of one source cluster's responder."""
    verdicts: dict[Probe, tuple[float, web.HttpResponse]] = {}

    async def answer(request: web.HttpRequest) -> web.HttpResponse:
        probe = _parse_probe(request)
        if probe is None or request.method != "GET":
            return web.HttpResponse(status=400, body=b"this proxy answers only gateway probes: GET http://probe-...\n")
        created, verdict = verdicts.get(probe, (float("-inf"), None))
        if verdict is None or time.monotonic() - created > _VERDICT_LIFETIME_S:
            verdict = await asyncio.to_thread(_run_probe, source, list(peers()), probe)
            verdicts.clear() if len(verdicts) > _MAX_CACHED_VERDICTS else None
            verdicts[probe] = (time.monotonic(), verdict)
        return verdict

    return answer


def follow_probe(source: RunningCluster, peers: Sequence[RunningCluster], probe: Probe) -> str:
    """Follow a probe; return the name of the cluster that answers it.

    Raises:
        ProbeError: no cluster answers the probe.
    """
    names = []
    for address, port in _list_endpoints(source.api, probe):
        peer = next((p for p in peers if address in _cluster_addresses(p.allocation)), None)
        if peer is None:
            raise ProbeError(f"no running cluster of this lab has the address {address}")
        _check_gateway(peer, address, port, probe.path)
        names.append(peer.allocation.name)
    return ", ".join(names)


def _run_probe(source: RunningCluster, peers: Sequence[RunningCluster], probe: Probe) -> web.HttpResponse:
    where = f"{source.allocation.name}: {probe.service}:{probe.port}{probe.path}"
    try:
        return web.HttpResponse(status=200, body=f"{where}: {follow_probe(source, peers, probe)}\n".encode())
    except (ProbeError, ApiError, OSError) as error:
        return web.HttpResponse(status=502, body=f"{where}: {error}\n".encode())


def _parse_probe(request: web.HttpRequest) -> Probe | None:
    try:
        url = urlsplit(request.target)
        host, port = url.hostname, url.port or 80
    except ValueError:
        return None
    if url.scheme != "http" or not host:
        return None
    service, _, domain = host.partition(".")
    return Probe(
        namespace=domain.partition(".")[0] or _decode_namespace(request.headers.get("proxy-authorization", "")),
        service=service,
        port=port,
        path=url.path or "/",
    )


def _decode_namespace(credentials: str) -> str:
    """Return the mirror's namespace, which the lab sets as the user of the proxy URL.

    A short host name belongs to this namespace.
    """
    try:
        return base64.b64decode(credentials.removeprefix("Basic "), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeError):
        return ""


def _list_endpoints(api: ApiClient, probe: Probe) -> list[tuple[str, int]]:
    """Return the addresses and ports behind the probe's Service, as kube-proxy would use them."""
    selector = f"metadata.name={probe.service}"
    scope = f"/api/v1/namespaces/{probe.namespace}" if probe.namespace else "/api/v1"
    services = api.get(f"{scope}/services", fieldSelector=selector)["items"]
    if not services:
        raise ProbeError(f"no Service with this name in namespace {probe.namespace or '(any)'}")
    namespace = services[0]["metadata"]["namespace"]
    port = next((p for p in services[0]["spec"].get("ports", []) if p["port"] == probe.port), None)
    if port is None:
        raise ProbeError(f"the Service has no port {probe.port}")
    endpoints = []
    for item in api.get(f"/api/v1/namespaces/{namespace}/endpoints", fieldSelector=selector)["items"]:
        for subset in item.get("subsets") or []:
            numbers = [p["port"] for p in subset.get("ports") or [] if p.get("name") == port.get("name")]
            endpoints += [(a["ip"], number) for a in subset.get("addresses") or [] for number in numbers]
    if not endpoints:
        raise ProbeError("the Service's Endpoints have no ready address")
    return endpoints


def _cluster_addresses(allocation: ClusterAllocation) -> tuple[str, ...]:
    return (allocation.load_balancer_address, *allocation.node_addresses)


def _check_gateway(peer: RunningCluster, address: str, port: int, path: str) -> None:
    name = peer.allocation.name
    gateways = [
        service
        for service in peer.api.get("/api/v1/services")["items"]
        if service["metadata"].get("annotations", {}).get(f"{_PREFIX}/multicluster-gateway") == "true"
    ]
    if not gateways:
        raise ProbeError(f"{address} belongs to {name}, which has no gateway Service")
    matching = [g for g in gateways if port in _probe_ports(peer.allocation, g, address)]
    if not matching:
        raise ProbeError(f"{address} belongs to {name}, where no gateway has its probe port at {address}:{port}")
    gateway = matching[0]
    probe_path = gateway["metadata"]["annotations"].get(f"{_PREFIX}/probe-path", "/")
    if path != probe_path:
        raise ProbeError(f"{name}'s gateway answers {probe_path}, not {path}")
    if not _has_ready_endpoints(peer.api, gateway):
        raise ProbeError(f"{name}'s gateway has no ready pods")


def _probe_ports(allocation: ClusterAllocation, gateway: dict[str, Any], address: str) -> Iterator[int]:
    """Yield the ports of an address on which a gateway's probe answers."""
    probes = [p for p in gateway["spec"].get("ports", []) if p.get("name") == _PROBE_PORT]
    if address in allocation.node_addresses:
        yield from (p["nodePort"] for p in probes if p.get("nodePort"))
        return
    for ingress in gateway.get("status", {}).get("loadBalancer", {}).get("ingress") or []:
        if ingress.get("ip") == address or ingress.get("hostname") == allocation.load_balancer_hostname:
            yield from (p["port"] for p in probes)


def _has_ready_endpoints(api: ApiClient, service: dict[str, Any]) -> bool:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    slices = api.get(
        f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
        labelSelector=f"kubernetes.io/service-name={name}",
    )
    return any(
        endpoint.get("conditions", {}).get("ready") is not False
        for item in slices["items"]
        for endpoint in item.get("endpoints") or []
    )
