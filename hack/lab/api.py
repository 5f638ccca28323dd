"""Client of one API server in the lab: JSON over HTTPS, and watches. Calls block, so the supervisor uses threads.

`mesh.kube.client` is not used because it needs the official client, which takes a second to import and 60 MB of memory.
"""

import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from hack.lab.allocation import ClusterAllocation
from hack.lab.pki import Pki

REQUEST_TIMEOUT_S = 5
_READINESS_TIMEOUT_S = 2
_WATCH_TIMEOUT_S = 240
_WATCH_MARGIN_S = 30  # the API server ends a watch; the client's timeout is longer
_MAX_ERROR_BYTES = 2000


class ApiError(Exception):
    """The API server answered with an error: `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        """Set the message, and keep the status."""
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, kw_only=True)
class ApiClient:
    """The client of one cluster's API server, with the permissions of a cluster administrator."""

    port: int
    authority: str
    certificate: str
    key: str

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def get(self, path: str, *, timeout: float = REQUEST_TIMEOUT_S, **query: str) -> dict[str, Any]:
        """Read an object or a list.

        Raises:
            ApiError, OSError: the server refused, or did not answer within `timeout` seconds.
        """
        return self._call("GET", path + ("?" + urlencode(query) if query else ""), None, timeout)

    def create(self, path: str, body: dict[str, Any], *, timeout: float = REQUEST_TIMEOUT_S) -> dict[str, Any]:
        """Create an object in the collection at `path`; raises as `get` does."""
        return self._call("POST", path, body, timeout)

    def patch(self, path: str, body: dict[str, Any], *, timeout: float = REQUEST_TIMEOUT_S) -> None:
        """Change an object by a JSON merge patch; raises as `get` does."""
        self._call("PATCH", path, body, timeout, "application/merge-patch+json")

    def delete(self, path: str, *, body: dict[str, Any] | None = None, timeout: float = REQUEST_TIMEOUT_S) -> None:
        """Delete an object, with `body` as its options, or everything in a collection; raises as `get` does."""
        self._call("DELETE", path, body, timeout)

    def is_ready(self, path: str = "/readyz") -> bool:
        """Return whether the server reports that it is ready."""
        connection = self._connect(_READINESS_TIMEOUT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def watch(self, path: str, *, seconds: int = _WATCH_TIMEOUT_S, **query: str) -> Iterator[dict[str, Any]]:
        """Yield the events of a collection for at most `seconds`; raises as `get` does."""
        parameters = {"watch": "true", "timeoutSeconds": str(seconds), "allowWatchBookmarks": "true", **query}
        connection = self._connect(seconds + _WATCH_MARGIN_S)
        try:
            connection.request("GET", f"{path}?{urlencode(parameters)}")
            response = connection.getresponse()
            if response.status != 200:
                raise ApiError(response.status, response.read(_MAX_ERROR_BYTES).decode(errors="replace"))
            while line := response.readline():
                yield json.loads(line)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls, timeout=timeout)

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        timeout: float,
        media_type: str = "application/json",
    ) -> dict[str, Any]:
        connection = self._connect(timeout)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": media_type})
            response = connection.getresponse()
            content = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise ApiError(response.status, content[:_MAX_ERROR_BYTES].decode(errors="replace"))
        answer = json.loads(content)
        return answer if isinstance(answer, dict) else {}


def connect(pki: Pki, allocation: ClusterAllocation) -> ApiClient:
    """Return the client of a cluster's API server."""
    return ApiClient(
        port=allocation.ports.api_server,
        authority=str(pki.certificate("ca")),
        certificate=str(pki.certificate("lab")),
        key=str(pki.key("lab")),
    )
