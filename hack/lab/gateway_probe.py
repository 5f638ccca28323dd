"""The answer to a service mirror's gateway probe, found the way the packet would have gone.

The mirror asks `http://probe-gateway-<target>:4191/ready`, or in later releases `http://probe-<link>:4191/ready`, by
HTTP_PROXY, here. Through the source cluster's Service and Endpoints of that name we get an address; the cluster of this
lab that owns it must have a gateway Service with that address, port and path, and pods behind it. Only then is the
answer 200; else it is 502 and says what is missing.
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

_KEEP = 1.0  # seconds for which a verdict holds
_PREFIX = "mirror.linkerd.io"
_PROBE_PORT = "mc-probe"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A running cluster of the lab."""

    identity: ClusterAllocation
    api: ApiClient


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a mirror in some namespace asked for; no namespace means any."""

    namespace: str
    service: str
    port: int
    path: str


class Unreachable(Exception):
    """Why the probe would have failed."""


def answering(source: Peer, peers: Callable[[], Sequence[Peer]]) -> web.Answer:
    """What the responder of one source cluster answers."""
    verdicts: dict[Probe, tuple[float, web.Response]] = {}

    async def answer(request: web.Request) -> web.Response:
        probe = _parse(request)
        if probe is None or request.method != "GET":
            return web.Response(status=400, body=b"this proxy answers gateway probes: GET http://probe-...\n")
        made, verdict = verdicts.get(probe, (float("-inf"), None))
        if verdict is None or time.monotonic() - made > _KEEP:
            verdict = await asyncio.to_thread(_verdict, source, list(peers()), probe)
            verdicts.clear() if len(verdicts) > 1000 else None
            verdicts[probe] = (time.monotonic(), verdict)
        return verdict

    return answer


def follow_probe(source: Peer, peers: Sequence[Peer], probe: Probe) -> str:
    """Follow a probe; the name of the cluster that answers it.

    Raises:
        Unreachable: it gets no answer, and why.
    """
    names = []
    for address, port in _endpoints(source.api, probe):
        peer = next((p for p in peers if address in _addresses(p.identity)), None)
        if peer is None:
            raise Unreachable(f"no running cluster of this lab has the address {address}")
        _gateway(peer, address, port, probe.path)
        names.append(peer.identity.name)
    return ", ".join(names)


def _verdict(source: Peer, peers: Sequence[Peer], probe: Probe) -> web.Response:
    where = f"{source.identity.name}: {probe.service}:{probe.port}{probe.path}"
    try:
        return web.Response(status=200, body=f"{where}: {follow_probe(source, peers, probe)}\n".encode())
    except (Unreachable, ApiError, OSError) as error:
        return web.Response(status=502, body=f"{where}: {error}\n".encode())


def _parse(request: web.Request) -> Probe | None:
    try:
        url = urlsplit(request.target)
        host, port = url.hostname, url.port or 80
    except ValueError:
        return None
    if url.scheme != "http" or not host:
        return None
    service, _, domain = host.partition(".")
    return Probe(
        namespace=domain.partition(".")[0] or _namespace(request.headers.get("proxy-authorization", "")),
        service=service,
        port=port,
        path=url.path or "/",
    )


def _namespace(credentials: str) -> str:
    """The mirror's namespace, which the lab puts into the proxy URL as its user: a short host name means that one."""
    try:
        return base64.b64decode(credentials.removeprefix("Basic "), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeError):
        return ""


def _endpoints(api: ApiClient, probe: Probe) -> list[tuple[str, int]]:
    """Addresses and ports behind the probe's Service, as kube-proxy would see them."""
    selector = f"metadata.name={probe.service}"
    scope = f"/api/v1/namespaces/{probe.namespace}" if probe.namespace else "/api/v1"
    services = api.get(f"{scope}/services", fieldSelector=selector)["items"]
    if not services:
        raise Unreachable(f"no Service of this name in namespace {probe.namespace or '(any)'}")
    namespace = services[0]["metadata"]["namespace"]
    port = next((p for p in services[0]["spec"].get("ports", []) if p["port"] == probe.port), None)
    if port is None:
        raise Unreachable(f"the Service has no port {probe.port}")
    found = []
    for item in api.get(f"/api/v1/namespaces/{namespace}/endpoints", fieldSelector=selector)["items"]:
        for subset in item.get("subsets") or []:
            numbers = [p["port"] for p in subset.get("ports") or [] if p.get("name") == port.get("name")]
            found += [(a["ip"], number) for a in subset.get("addresses") or [] for number in numbers]
    if not found:
        raise Unreachable("its Endpoints have no ready address")
    return found


def _addresses(identity: ClusterAllocation) -> tuple[str, ...]:
    return (identity.load_balancer_address, *identity.node_addresses)


def _gateway(peer: Peer, address: str, port: int, path: str) -> None:
    name = peer.identity.name
    gateways = [
        service
        for service in peer.api.get("/api/v1/services")["items"]
        if service["metadata"].get("annotations", {}).get(f"{_PREFIX}/multicluster-gateway") == "true"
    ]
    if not gateways:
        raise Unreachable(f"{address} is {name}'s, and {name} has no gateway Service")
    here = [g for g in gateways if port in _open_ports(peer.identity, g, address)]
    if not here:
        raise Unreachable(f"{address} is {name}'s, and no gateway there has its probe port on {address}:{port}")
    gateway = here[0]
    wanted = gateway["metadata"]["annotations"].get(f"{_PREFIX}/probe-path", "/")
    if path != wanted:
        raise Unreachable(f"{name}'s gateway answers {wanted}, not {path}")
    if not _has_ready_endpoints(peer.api, gateway):
        raise Unreachable(f"{name}'s gateway has no ready pods")


def _open_ports(identity: ClusterAllocation, gateway: dict[str, Any], address: str) -> Iterator[int]:
    """The ports of an address on which a gateway's probe answers."""
    probes = [p for p in gateway["spec"].get("ports", []) if p.get("name") == _PROBE_PORT]
    if address in identity.node_addresses:
        yield from (p["nodePort"] for p in probes if p.get("nodePort"))
        return
    for ingress in gateway.get("status", {}).get("loadBalancer", {}).get("ingress") or []:
        if ingress.get("ip") == address or ingress.get("hostname") == identity.load_balancer_hostname:
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
