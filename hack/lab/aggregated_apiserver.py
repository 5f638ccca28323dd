"""Fake backend of aggregated APIs, because the lab's pods run nothing.

While a registered API does not answer, discovery fails and no namespace can be deleted. The fake backend serves an
empty API at the address of the APIService's Service. The certificate and the key are those that the Service's pods
mount. So the API server verifies the same certificate as in a cluster with containers.
https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
"""

import asyncio
import base64
import json
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hack.lab import web
from hack.lab.api import ApiClient, ApiError

_API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_NOT_AUTOMANAGED = "!kube-aggregator.kubernetes.io/automanaged"  # excludes built-in APIs and CRDs
_HTTPS_PORT = 443
_REQUEST_TIMEOUT_S = 2.0
_REGISTRATION_LIFETIME_S = 1.0
_NO_BACKEND = "the lab has no backend at this address"


class NoBackendError(Exception):
    """An address has no backend in the lab."""


@dataclass(frozen=True, kw_only=True)
class _AggregatedApi:
    """A Service that APIServices refer to."""

    service: dict[str, Any]
    versions: tuple[str, ...]  # such as `tap.linkerd.io/v1alpha1`


class AggregatedApis:
    """The aggregated APIs of one cluster, with a fake backend for each.

    The API server also calls webhooks at the addresses of Services. Such a call must be refused at once: an `up` makes
    dozens of them, one after another. So the list of the registered APIs is read at most once per second.
    """

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._registered: list[dict[str, Any]] = []
        self._expires_at = 0.0

    async def connect(self, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the fake backend behind the address of a Service.

        Raises:
            NoBackendError: the Service is not that of an aggregated API, or no ready pod has a usable certificate.
            ApiError, OSError: the API server cannot be reached.
        """
        if time.monotonic() >= self._expires_at:
            self._registered = await asyncio.to_thread(_list_registered, self._api)
            self._expires_at = time.monotonic() + _REGISTRATION_LIFETIME_S
        if not self._registered:
            raise NoBackendError(_NO_BACKEND)
        registered, tls = await asyncio.to_thread(_find_backend, self._api, self._registered, address, port)
        client_end, server_end = socket.socketpair()
        # A pair of sockets instead of a port, so that other processes cannot connect.
        web.serve_one(web.create_connection_handler(_create_handler(registered.versions)), server_end, tls=tls)
        return await asyncio.open_connection(sock=client_end)


def _list_registered(api: ApiClient) -> list[dict[str, Any]]:
    items = api.get(_API_SERVICES, timeout=_REQUEST_TIMEOUT_S, labelSelector=_NOT_AUTOMANAGED)["items"]
    return list(items)


def _find_backend(
    api: ApiClient, registered: list[dict[str, Any]], address: str, port: int
) -> tuple[_AggregatedApi, ssl.SSLContext]:
    aggregated = _find_api(api, registered, address, port)
    return aggregated, _create_tls_context(*_read_key_pair(api, aggregated.service))


def _find_api(api: ApiClient, registered: list[dict[str, Any]], address: str, port: int) -> _AggregatedApi:
    versions: dict[tuple[str, str], list[str]] = {}
    for item in registered:
        reference = item["spec"].get("service") or {}
        if reference.get("port", _HTTPS_PORT) == port:
            service_key = (reference["namespace"], reference["name"])
            versions.setdefault(service_key, []).append(f"{item['spec']['group']}/{item['spec']['version']}")
    for (namespace, name), group_versions in versions.items():
        try:
            service = api.get(f"/api/v1/namespaces/{namespace}/services/{name}", timeout=_REQUEST_TIMEOUT_S)
        except ApiError as error:
            if error.status == 404:
                continue
            raise
        if service["spec"].get("clusterIP") == address:
            return _AggregatedApi(service=service, versions=tuple(group_versions))
    raise NoBackendError(_NO_BACKEND)


def _read_key_pair(api: ApiClient, service: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return certificate and key from the TLS Secret that the pods of a Service mount."""
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    selector = ",".join(f"{key}={value}" for key, value in (service["spec"].get("selector") or {}).items())
    if not selector:
        raise NoBackendError(f"Service {namespace}/{name} selects no pods")
    pods = api.get(f"/api/v1/namespaces/{namespace}/pods", timeout=_REQUEST_TIMEOUT_S, labelSelector=selector)["items"]
    ready = [pod for pod in pods if _is_ready(pod)]
    if not ready:
        raise NoBackendError(f"Service {namespace}/{name} has no ready pods")
    for secret_name in _list_mounted_secrets(ready[0]):
        secret = api.get(f"/api/v1/namespaces/{namespace}/secrets/{secret_name}", timeout=_REQUEST_TIMEOUT_S)
        if secret.get("type") == "kubernetes.io/tls":
            return base64.b64decode(secret["data"]["tls.crt"]), base64.b64decode(secret["data"]["tls.key"])
    raise NoBackendError(f"the pods of Service {namespace}/{name} mount no Secret of type kubernetes.io/tls")


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _list_mounted_secrets(pod: dict[str, Any]) -> Iterator[str]:
    mounted = {
        mount["name"] for container in pod["spec"]["containers"] for mount in container.get("volumeMounts") or []
    }
    for volume in pod["spec"].get("volumes") or []:
        if volume["name"] in mounted and "secret" in volume:
            yield volume["secret"]["secretName"]


def _create_tls_context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Python reads them only from a file. The empty password prevents a prompt if the key is encrypted.
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name, password="")
    return context


def _create_handler(versions: tuple[str, ...]) -> web.RequestHandler:
    async def answer(request: web.HttpRequest) -> web.HttpResponse:
        path = request.target.partition("?")[0].rstrip("/")
        version = path.removeprefix("/apis/")
        if version in versions:
            resources = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": []}
            return web.HttpResponse(status=200, body=json.dumps(resources).encode(), media_type="application/json")
        if path in ("/healthz", "/livez", "/readyz"):
            return web.HttpResponse(status=200, body=b"ok")
        # After a 404 the API server requests each version separately, and does without an OpenAPI document.
        return web.HttpResponse(status=404, body=f"{path}: the lab's fake API serves only {versions}\n".encode())

    return answer
