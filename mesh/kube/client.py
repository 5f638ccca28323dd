"""The Kubernetes client of the program: one class for all requests that no Pulumi provider makes.

Checks before an update, the review, drift repair, resource hooks and dynamic providers use it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from mesh.concurrency import run_concurrently
from mesh.kube.connection import Access, build_api_client
from mesh.kube.errors import (
    ApiUnreachableError,
    NotReadableError,
    UnauthorizedError,
    credentials_error,
    request_error,
    to_single_line,
)
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.transport import JSON_MEDIA_TYPE, Response, Transport, api_status_error

if TYPE_CHECKING:
    from kubernetes.client import ApiClient
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

# The API server refuses a request for a log that does not also accept its errors.
TEXT_ACCEPT = f"text/plain, {JSON_MEDIA_TYPE}, */*"
# Metadata only, of an object or of a list. A release in a Secret and the schemas of a CRD are a megabyte each.
METADATA_MEDIA_TYPE = f"{JSON_MEDIA_TYPE};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON_MEDIA_TYPE}"
METADATA_LIST_MEDIA_TYPE = f"{JSON_MEDIA_TYPE};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON_MEDIA_TYPE}"
# A merge patch replaces lists. A strategic merge patch merges lists by their key, for Kubernetes' own kinds only.
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

# An API server that is overloaded, or prepares the storage of a new CRD, responds with status 429 for a moment.
OVERLOAD_RETRY_DELAYS_S = (0.1, 0.2, 0.4, 0.8, 1.5)

REQUEST_TIMEOUT_S = 30.0
# For a cluster that may be gone. urllib3 connects up to four times.
CONNECT_TIMEOUT_S = 5.0
# Objects of one response of `iterate_objects`. A page of pods is a few megabytes.
PAGE_SIZE = 250
# The default pool size of the official client on a machine with one processor.
_MAX_CONCURRENT_REQUESTS = 5


class KubeClient:
    """A client for one API server: raw paths, plain JSON, pooled connections, typed errors.

    The official calls need a class per kind, which take a second to import. These classes also reject a whole object
    for one unexpected field.

    * `get_version`, `get` and `post` are for checks: one attempt, and no response after the deadline.
    * `request`, `list_objects` and `iterate_objects` are for changes. urllib3 retries lost connections three times;
      each attempt has the full timeout.
    * After a response with status 429, each of them tries again for up to three seconds.

    Args:
        api_client: connections and credentials.
        timeout_s: seconds for each response.
        connect_timeout_s: seconds for each connection of `request`; None: part of `timeout_s`.

    Raises:
        BadCredentialsError: the credentials cannot be used.
    """

    def __init__(
        self, api_client: ApiClient, timeout_s: float = REQUEST_TIMEOUT_S, connect_timeout_s: float | None = None
    ) -> None:
        self._transport = Transport(api_client, timeout_s, connect_timeout_s)
        self._response_count = 0
        self._forbidden: list[dict[str, Any]] = []

    @property
    def denied_user(self) -> str | None:
        """Return the user to whom every `get` and `post` so far was forbidden; None if one was allowed."""
        if not self._response_count or len(self._forbidden) < self._response_count:
            return None
        message = as_text(self._forbidden[-1].get("message"))
        start, _, rest = message.partition('User "')
        return to_single_line(rest.partition('"')[0], 80) if start and rest else "its user"

    @property
    def cannot_impersonate(self) -> bool:
        """Return whether the last forbidden `get` or `post` was forbidden because of the kubeconfig's `as`."""
        return bool(self._forbidden) and " cannot impersonate " in as_text(self._forbidden[-1].get("message"))

    def get_version(self) -> Response:
        """Return the response to `/version`, which every user may read by default.

        Raises:
            ApiUnreachableError, BadCredentialsError: every further request would fail too.
        """
        [response] = self._check([("GET", "/version", None, JSON_MEDIA_TYPE)])
        if response.status != HTTPStatus.FORBIDDEN and (response.status != HTTPStatus.OK or response.content is None):
            raise ApiUnreachableError(f"the server is no Kubernetes API server ({response.summary} to GET /version)")
        return response

    def get(self, path: str, subject: str, accept: str = JSON_MEDIA_TYPE) -> dict[str, Any] | None:
        """Return an object or a list, or None if it does not exist.

        Args:
            path: its path, with a query if needed.
            subject: the content that is read, for the error message.
            accept: media type of the response.

        Raises:
            NotReadableError: this object cannot be read.
            ApiUnreachableError, BadCredentialsError: no object can be read.
        """
        [response] = self._check([("GET", path, None, accept)])
        self._count(response)
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        return _readable_content(response, subject)

    def post(self, path: str, bodies: Sequence[dict[str, Any]], subject: str) -> list[dict[str, Any]]:
        """Return the responses to several bodies that change nothing, such as access reviews; raise as `get` does."""
        responses = self._check([("POST", path, json.dumps(body), JSON_MEDIA_TYPE) for body in bodies])
        for response in responses:
            self._count(response)
        return [_readable_content(response, subject) for response in responses]

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        patch_type: str = MERGE_PATCH,
        accept: str = JSON_MEDIA_TYPE,
    ) -> dict[str, Any] | None:
        """Send one request and return the response, or None if the object does not exist.

        Args:
            method: the HTTP method.
            path: the path, with a query if needed.
            body: the body to send.
            patch_type: media type of a PATCH.
            accept: media type of the response.

        Raises:
            ApiStatusError: the API server refuses the request.
            ApiUnreachableError, BadCredentialsError: there is no response.
        """
        label = self._transport.label(method, path)
        content_type = patch_type if method == "PATCH" else JSON_MEDIA_TYPE
        content = None if body is None else json.dumps(body)
        try:
            response = self._send(method, path, content, accept, content_type=content_type, retry=True)
        except ApiUnreachableError as error:
            raise ApiUnreachableError(f"{label}: {error}") from None
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if not 200 <= response.status < 300 or response.content is None:
            raise api_status_error(label, response)
        return response.content

    def list_objects(self, path: str, selector: str = "", *, accept: str = JSON_MEDIA_TYPE) -> list[dict[str, Any]]:
        """Return the objects of a kind, or none if the kind does not exist; raise as `request` does.

        Args:
            path: path of the kind, in one namespace or all.
            selector: a label selector.
            accept: media type of the response.
        """
        query_path = f"{path}?labelSelector={quote(selector)}" if selector else path
        object_list = self.request("GET", query_path, accept=accept) or {}
        return list(object_list.get("items") or ())

    def iterate_objects(
        self, path: str, selector: str = "", *, accept: str = JSON_MEDIA_TYPE
    ) -> Iterator[dict[str, Any]]:
        """Yield the objects of a kind in pages, so that few are in memory at once; raise as `request` does.

        Args:
            path: path of the kind, in one namespace or all.
            selector: a label selector.
            accept: media type of a page.
        """
        position = ""
        while True:
            query = {"labelSelector": selector, "limit": str(PAGE_SIZE), "continue": position}
            query_path = f"{path}?{urlencode({key: value for key, value in query.items() if value})}"
            page = self.request("GET", query_path, accept=accept) or {}
            yield from as_mappings(page.get("items"))
            position = as_text(as_mapping(page, "metadata").get("continue"))
            if not position:
                return

    def read_text(self, path: str, *, max_bytes: int) -> str | None:
        """Return a text, such as a container's log, or None if it does not exist. There is one attempt.

        Args:
            path: its path, with a query if needed.
            max_bytes: number of bytes after which the rest of the text is left out.

        Raises:
            ApiStatusError: the API server refuses the request.
            ApiUnreachableError, BadCredentialsError: there is no response.
        """
        read = partial(
            self._transport.exchange,
            *("GET", path, None, TEXT_ACCEPT),
            content_type="",
            retry=False,
            max_bytes=max_bytes,
        )
        [exchange] = self._run([read])
        if exchange.status == HTTPStatus.NOT_FOUND:
            return None
        if exchange.status != HTTPStatus.OK:
            raise api_status_error(self._transport.label("GET", path), exchange.to_response())
        return exchange.body[:max_bytes].decode(errors="replace")

    def open_watch(self, path: str, *, accept: str = JSON_MEDIA_TYPE, read_timeout_s: float) -> BaseHTTPResponse:
        """Return the open response to a watch request; the caller reads and closes it.

        Args:
            path: path with the query of the watch.
            accept: media type of the response.
            read_timeout_s: seconds without an event after which reading fails.

        Raises:
            ApiStatusError: the API server refuses the watch.
            ApiUnreachableError, BadCredentialsError: there is no response.
        """
        return self._transport.open_stream(path, accept=accept, read_timeout_s=read_timeout_s)

    def _count(self, response: Response) -> None:
        self._response_count += 1
        if response.status == HTTPStatus.FORBIDDEN:
            self._forbidden.append(response.content or {})

    def _check(self, requests: Sequence[tuple[str, str, str | None, str]]) -> list[Response]:
        """Send requests once, at the same time, and return their responses within a hard deadline."""
        return self._run([partial(self._send_check, *request) for request in requests])

    def _run(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        timeout_s = self._transport.timeout_s
        try:
            # urllib3's timeout ends neither a name look-up nor headers that arrive byte by byte.
            return run_concurrently(jobs, idle_timeout_s=1.2 * timeout_s, threads=_MAX_CONCURRENT_REQUESTS)
        except TimeoutError as error:
            raise request_error(error, timeout_s) from None

    def _send_check(self, method: str, path: str, body: str | None, accept: str) -> Response:
        response = self._send(method, path, body, accept, content_type=JSON_MEDIA_TYPE, retry=False)
        if response.status == HTTPStatus.UNAUTHORIZED:
            raise UnauthorizedError(
                "the API server refuses the kubeconfig's credentials: they are wrong or have expired (HTTP 401)"
            )
        if response.status >= 500 or response.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise ApiUnreachableError(
                f"the API server responds with {response.summary} to {method} {path.partition('?')[0]}"
            )
        return response

    def _send(
        self, method: str, path: str, body: str | None, accept: str, *, content_type: str, retry: bool
    ) -> Response:
        """Send a request, again after a response with status 429, and return the last response."""
        for delay_s in (*OVERLOAD_RETRY_DELAYS_S, 0.0):
            response = self._transport.exchange(
                method, path, body, accept, content_type=content_type, retry=retry
            ).to_response()
            if response.status != HTTPStatus.TOO_MANY_REQUESTS:
                break
            time.sleep(delay_s)
        return response


def connect(
    access: Access, *, timeout_s: float = REQUEST_TIMEOUT_S, connect_timeout_s: float | None = None
) -> KubeClient:
    """Return a client for a cluster; send no request.

    Args:
        access: the credentials.
        timeout_s, connect_timeout_s: seconds; see `KubeClient`.

    Raises:
        KubeconfigContextError: the kubeconfig has no such context.
        BadCredentialsError: its credentials cannot be used for another reason.
    """
    try:
        client = build_api_client(access)
    except Exception as error:  # a credential plugin or a kubeconfig may fail in any way
        raise credentials_error(error) from None
    return KubeClient(client, timeout_s, connect_timeout_s)


def _readable_content(response: Response, subject: str) -> dict[str, Any]:
    if response.status == HTTPStatus.FORBIDDEN:
        raise NotReadableError(f"{subject} (not allowed)")
    if not 200 <= response.status < 300 or response.content is None:
        raise NotReadableError(f"{subject} ({response.summary})")
    return response.content
