"""A stand-in for the pods of an aggregated API, so that the API server finds one where a chart registers it.

While an API that is registered doesn't answer, discovery fails and no namespace can be removed. So where the API
server asks for the Service of an APIService, this answers with the very certificate and key that the Service's pods
mount: what the API server verifies is what it would verify in a cluster with containers. The API that it then finds is
empty.
https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
"""

import asyncio
import base64
import json
import socket
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hack.lab import web
from hack.lab.api import ApiClient, ApiError

_REGISTERED = "/apis/apiregistration.k8s.io/v1/apiservices"
_OF_OTHERS = "!kube-aggregator.kubernetes.io/automanaged"  # neither built in nor a CRD's
_HTTPS = 443
_PATIENCE = 2.0  # seconds for one question to the API server


class NoBackend(Exception):
    """Why nothing answers at an address."""


@dataclass(frozen=True, kw_only=True)
class _Registered:
    """A Service that APIServices name."""

    service: dict[str, Any]
    versions: tuple[str, ...]  # such as `tap.linkerd.io/v1alpha1`


async def connect(api: ApiClient, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to what answers at an address of a Service.

    Raises:
        NobodyThere: it isn't the Service of an aggregated API, or that API has no pods with a usable certificate.
        ApiError, OSError: the cluster could not be asked.
    """
    registered, tls = await asyncio.to_thread(_look_up, api, address, port)
    ours, theirs = socket.socketpair()
    # One connection, TLS on one end of a pair of sockets: no port to which anyone else could connect.
    web.serve_one(web.answering(_answering(registered.versions)), theirs, tls=tls)
    return await asyncio.open_connection(sock=ours)


def _look_up(api: ApiClient, address: str, port: int) -> tuple[_Registered, ssl.SSLContext]:
    registered = _registered(api, address, port)
    return registered, _context(*_pair(api, registered.service))


def _registered(api: ApiClient, address: str, port: int) -> _Registered:
    versions: dict[tuple[str, str], list[str]] = {}
    for item in api.get(_REGISTERED, timeout=_PATIENCE, labelSelector=_OF_OTHERS)["items"]:
        reference = item["spec"].get("service") or {}
        if reference.get("port", _HTTPS) == port:
            place = (reference["namespace"], reference["name"])
            versions.setdefault(place, []).append(f"{item['spec']['group']}/{item['spec']['version']}")
    for (namespace, name), served in versions.items():
        try:
            service = api.get(f"/api/v1/namespaces/{namespace}/services/{name}", timeout=_PATIENCE)
        except ApiError as error:
            if error.status == 404:
                continue
            raise
        if service["spec"].get("clusterIP") == address:
            return _Registered(service=service, versions=tuple(served))
    raise NoBackend("nothing answers there in this lab")


def _pair(api: ApiClient, service: dict[str, Any]) -> tuple[bytes, bytes]:
    """Certificate and key of the pods behind a Service: of the TLS Secret that they mount."""
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    selector = ",".join(f"{key}={value}" for key, value in (service["spec"].get("selector") or {}).items())
    if not selector:
        raise NoBackend(f"Service {namespace}/{name} selects no pods")
    pods = api.get(f"/api/v1/namespaces/{namespace}/pods", timeout=_PATIENCE, labelSelector=selector)["items"]
    ready = [pod for pod in pods if _ready(pod)]
    if not ready:
        raise NoBackend(f"Service {namespace}/{name} has no ready pods")
    for secret_name in _mounted_secrets(ready[0]):
        secret = api.get(f"/api/v1/namespaces/{namespace}/secrets/{secret_name}", timeout=_PATIENCE)
        if secret.get("type") == "kubernetes.io/tls":
            return base64.b64decode(secret["data"]["tls.crt"]), base64.b64decode(secret["data"]["tls.key"])
    raise NoBackend(f"the pods of Service {namespace}/{name} mount no Secret of type kubernetes.io/tls")


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _mounted_secrets(pod: dict[str, Any]) -> Iterator[str]:
    mounted = {
        mount["name"] for container in pod["spec"]["containers"] for mount in container.get("volumeMounts") or []
    }
    for volume in pod["spec"].get("volumes") or []:
        if volume["name"] in mounted and "secret" in volume:
            yield volume["secret"]["secretName"]


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Python reads them from a file only. A key with a passphrase is an error, and no question on somebody's terminal.
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name, password="")
    return context


def _answering(versions: tuple[str, ...]) -> web.Answer:
    async def answer(request: web.Request) -> web.Response:
        path = request.target.partition("?")[0].rstrip("/")
        version = path.removeprefix("/apis/")
        if version in versions:
            found = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": []}
            return web.Response(status=200, body=json.dumps(found).encode(), media_type="application/json")
        if path in ("/healthz", "/livez", "/readyz"):
            return web.Response(status=200, body=b"ok")
        # The API server then asks for each version by itself, and goes without an OpenAPI document.
        return web.Response(status=404, body=f"{path}: this stand-in for an API serves {versions}\n".encode())

    return answer
