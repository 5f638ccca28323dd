"""HTTP exchanges with one API server: pooled connections, credentials, bounded responses, typed errors.

The official client provides connections, and `mesh.kube.credentials` provides credentials.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mesh.kube.errors import ApiStatusError, credentials_error, request_error
from mesh.kube.json_access import as_text

if TYPE_CHECKING:
    from kubernetes.client import ApiClient
    from urllib3 import BaseHTTPResponse

JSON_MEDIA_TYPE = "application/json"

# For the whole body of a response to a repeated request; each read from the connection has the request's timeout.
_TRANSFER_TIMEOUT_S = 300.0
# Larger than any list of 500 Services or 50 nodes.
MAX_RESPONSE_BYTES = 64 * 2**20
# Shorter than the five minutes before its expiry at which a plugin's token is renewed.
_CREDENTIALS_LIFETIME_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response of an API server, with the times of sending and receipt."""

    status: int
    content: dict[str, Any] | None  # None: not a JSON object, or too large
    date: str | None  # its Date header
    sent_at: float  # seconds since 1970, by this machine's clock
    received_at: float

    @property
    def reason(self) -> str:
        """Return the HTTP reason phrase; for a success without a JSON object, a description of the content."""
        if 200 <= self.status < 300:
            return "a response that is no JSON object"
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return ""

    @property
    def summary(self) -> str:
        """Return status and reason for a message."""
        if 200 <= self.status < 300:
            return self.reason
        return f"HTTP {self.status}, {self.reason}" if self.reason else f"HTTP {self.status}"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A response with its body, before the body is parsed."""

    status: int
    body: bytearray
    date: str | None
    sent_at: float
    received_at: float

    def to_response(self) -> Response:
        """Return the response with its parsed body."""
        return Response(
            status=self.status,
            content=_parse_object(self.body),
            date=self.date,
            sent_at=self.sent_at,
            received_at=self.received_at,
        )


class Transport:
    """Connections to one API server.

    Args:
        api_client: connections and credentials.
        timeout_s: seconds for each response.
        connect_timeout_s: seconds for each connection of a repeated request; None: part of `timeout_s`.

    Raises:
        BadCredentialsError: the credentials cannot be used.
    """

    def __init__(self, api_client: ApiClient, timeout_s: float, connect_timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._api_client = api_client
        self._host = str(api_client.configuration.host).rstrip("/")
        self._pool = api_client.rest_client.pool_manager
        if not api_client.configuration.verify_ssl:
            _suppress_tls_warnings()
        self._headers: list[tuple[str, str]] = []
        self._headers_expire_at = 0.0
        self._auth_headers()

    def label(self, method: str, path: str) -> str:
        """Return a request for an error message, without its query."""
        return f"{method} {self._host}{path.partition('?')[0]}"

    def exchange(
        self,
        method: str,
        path: str,
        body: str | None,
        accept: str,
        *,
        content_type: str,
        retry: bool,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Exchange:
        """Send a request and return the response.

        Args:
            method: the HTTP method.
            path: the path, with a query if needed.
            body: the body to send.
            accept: media type of the response.
            content_type: media type of the body.
            retry: whether urllib3 may repeat the request and follow redirects.
            max_bytes: number of bytes after which the rest of the body is left out.

        Raises:
            ApiUnreachableError, BadCredentialsError: there is no response.
        """
        from urllib3 import Timeout

        sent_at, deadline = time.time(), time.monotonic() + self.timeout_s
        content_types = {"Content-Type": content_type} if body is not None else {}
        if retry and self._connect_timeout_s is not None:
            timeout = Timeout(connect=self._connect_timeout_s, read=self.timeout_s)
        else:
            timeout = Timeout(total=self.timeout_s)
        response = self._open(
            method, path, {"Accept": accept, **content_types}, body=body, timeout=timeout, retry=retry
        )
        try:
            received_at = time.time()
            content = _read_body(
                response, time.monotonic() + _TRANSFER_TIMEOUT_S if retry else deadline, max_bytes=max_bytes
            )
        except Exception as error:  # urllib3, http.client and ssl raise many types
            raise request_error(error, self.timeout_s, self._connect_timeout_s) from None
        return Exchange(
            status=int(response.status),
            body=content,
            date=response.headers.get("Date"),
            sent_at=sent_at,
            received_at=received_at,
        )

    def open_stream(self, path: str, *, accept: str, read_timeout_s: float) -> BaseHTTPResponse:
        """Return the open response to a GET request; the caller reads and closes it.

        Args:
            path: the path, with a query if needed.
            accept: media type of the response.
            read_timeout_s: seconds without data after which reading fails.

        Raises:
            ApiStatusError: the API server refuses the request.
            ApiUnreachableError, BadCredentialsError: there is no response.
        """
        from urllib3 import Timeout

        timeout = Timeout(connect=self._connect_timeout_s or self.timeout_s, read=read_timeout_s)
        response = self._open("GET", path, {"Accept": accept}, body=None, timeout=timeout, retry=False)
        if response.status != HTTPStatus.OK:
            status, reason = int(response.status), str(response.reason or "")
            response.close()
            raise ApiStatusError(self.label("GET", path), status, reason)
        return response

    def _open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: str | None,
        timeout: Any,
        retry: bool,
    ) -> BaseHTTPResponse:
        from urllib3 import HTTPHeaderDict

        all_headers = HTTPHeaderDict(self._auth_headers())  # a header per impersonated group
        for name, value in headers.items():
            all_headers[name] = value
        try:
            response: BaseHTTPResponse = self._pool.request(
                method,
                f"{self._host}{path}",
                body=body,
                headers=all_headers,
                timeout=timeout,
                retries=_create_retries() if retry else False,
                redirect=retry,
                preload_content=False,
            )
        except Exception as error:  # urllib3, http.client and ssl raise many types
            raise request_error(error, self.timeout_s, self._connect_timeout_s) from None
        return response

    def _auth_headers(self) -> list[tuple[str, str]]:
        """Return the official client's headers, and the impersonated user; a plugin may have to renew the token."""
        if time.monotonic() < self._headers_expire_at:
            return self._headers
        configuration = self._api_client.configuration
        try:
            if configuration.refresh_api_key_hook is not None and not configuration.api_key:
                # The official client renews tokens only, and a plugin can have a certificate.
                configuration.refresh_api_key_hook(configuration)
            _, _, headers, *_ = self._api_client.param_serialize(
                "GET", "/version", header_params={}, auth_settings=["BearerToken"]
            )
        except Exception as error:  # a plugin may fail in any way
            raise credentials_error(error) from None
        self._headers = [(str(key), str(value)) for key, value in headers.items()]
        self._headers += getattr(configuration, "impersonation", ())
        self._headers_expire_at = time.monotonic() + _CREDENTIALS_LIFETIME_S
        return self._headers


def api_status_error(label: str, response: Response) -> ApiStatusError:
    """Return the error for a response that refuses a request."""
    return ApiStatusError(label, response.status, response.reason, as_text((response.content or {}).get("message")))


def _create_retries() -> Any:
    """Return urllib3's default retries, without the wait of a second or more after status 429.

    `KubeClient` itself repeats such a request sooner.
    """
    from urllib3 import Retry

    class Retries(Retry):
        RETRY_AFTER_STATUS_CODES = Retry.RETRY_AFTER_STATUS_CODES - {HTTPStatus.TOO_MANY_REQUESTS}

    return Retries(3)


def _suppress_tls_warnings() -> None:
    """Suppress urllib3's warnings about unverified certificates, which the kubeconfig explicitly allows."""
    import urllib3

    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def _read_body(response: BaseHTTPResponse, deadline: float, *, max_bytes: int) -> bytearray:
    """Return the body, or its beginning if it is larger than `max_bytes`."""
    content = bytearray()
    try:
        while len(content) <= max_bytes and (part := response.read1(2**16)):
            content += part
            if time.monotonic() > deadline:
                raise TimeoutError
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return content


def _parse_object(content: bytearray) -> dict[str, Any] | None:
    if len(content) > MAX_RESPONSE_BYTES:
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
