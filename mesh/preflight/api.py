"""Asking one API server: raw paths, plain JSON, nothing changed, and no patience with one that doesn't answer.

The client gives the connections and the credentials. Its own calls would build a class for each field, would try again
three times where there is no answer, and would turn what went wrong into a text.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mesh.concurrency import run_concurrently
from mesh.kube.json_access import text
from mesh.preflight.errors import ApiUnreachableError, BadCredentialsError, credentials_error, request_error
from mesh.preflight.finding import plain

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

JSON_MEDIA_TYPE = "application/json"
# Asks for metadata alone, of an object or of a list: what Helm keeps in a Secret or a CRD's schema is a megabyte.
METADATA_MEDIA_TYPE = f"{JSON_MEDIA_TYPE};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON_MEDIA_TYPE}"
METADATA_LIST_MEDIA_TYPE = f"{JSON_MEDIA_TYPE};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON_MEDIA_TYPE}"

# Bytes of an answer: more than 500 Services or 50 nodes ever are.
_MAX_RESPONSE_BYTES = 64 * 2**20


class NotReadableError(Exception):
    """One thing that could not be looked at, while others could; the message says which and why."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """An API server's answer, and when it was asked for."""

    status: int
    content: dict[str, Any] | None  # None: not a JSON object
    date: str | None  # its header
    asked: float  # seconds since 1970, by this machine's clock
    answered: float


class ClusterApi:
    """The API server of one cluster.

    Args:
        client: its connections and credentials.
        timeout: seconds for each answer.

    Raises:
        Unusable: the credentials can't be used.
    """

    def __init__(self, client: ApiClient, timeout: float) -> None:
        self._timeout = timeout
        self._host = str(client.configuration.host).rstrip("/")
        self._pool = client.rest_client.pool_manager
        if not client.configuration.verify_ssl:
            _suppress_tls_warnings()
        self._answered = 0
        self._forbidden: list[dict[str, Any]] = []
        try:
            # What the client would send itself: the token, by a plugin if need be.
            _, _, headers, *_ = client.param_serialize(
                "GET", "/version", header_params={}, auth_settings=["BearerToken"]
            )
            self._headers = {str(key): str(value) for key, value in headers.items()}
        except Exception as error:  # a plugin may fail in any way
            raise credentials_error(error) from None

    @property
    def denied_user(self) -> str | None:
        """Who has been refused everything so far, if that is so."""
        if not self._answered or len(self._forbidden) < self._answered:
            return None
        message = text(self._forbidden[-1].get("message"))
        start, _, rest = message.partition('User "')
        return plain(rest.partition('"')[0], 80) if start and rest else "its user"

    def version(self) -> Response:
        """The first question, which everybody may ask.

        Raises:
            Unanswered, Unusable: nothing else need be asked.
        """
        [answer] = self._ask([("GET", "/version", None, JSON_MEDIA_TYPE)])
        if answer.status != HTTPStatus.FORBIDDEN and (answer.status != HTTPStatus.OK or answer.content is None):
            raise ApiUnreachableError(
                f"what answers there is no Kubernetes API server ({_status(answer)} to GET /version)"
            )
        return answer

    def get(self, path: str, what: str, accept: str = JSON_MEDIA_TYPE) -> dict[str, Any] | None:
        """An object, or None if it doesn't exist.

        Args:
            path: its path, with a query if there is one.
            what: what is looked for, for the message if it can't be seen.
            accept: in which form it is wanted.

        Raises:
            Unseen: this can't be looked at.
            Unanswered, Unusable: nothing can.
        """
        [answer] = self._ask([("GET", path, None, accept)])
        self._count(answer)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        return _content(answer, what)

    def post(self, path: str, bodies: Sequence[dict[str, Any]], what: str) -> list[dict[str, Any]]:
        """What the server says to each of `bodies`, which must change nothing; raises as `get` does."""
        answers = self._ask([("POST", path, json.dumps(body), JSON_MEDIA_TYPE) for body in bodies])
        for answer in answers:
            self._count(answer)
        return [_content(answer, what) for answer in answers]

    def _count(self, answer: Response) -> None:
        self._answered += 1
        if answer.status == HTTPStatus.FORBIDDEN:
            self._forbidden.append(answer.content or {})

    def _ask(self, requests: Sequence[tuple[str, str, str | None, str]]) -> list[Response]:
        try:
            # Neither the look-up of a name nor an answer's headers that come byte by byte end by urllib3's timeout.
            # As many at a time as the client keeps connections on a machine with one processor.
            return run_concurrently(
                [lambda request=request: self._request(*request) for request in requests],  # type: ignore[misc]
                patience=1.2 * self._timeout,
                threads=5,
            )
        except TimeoutError as error:
            raise request_error(error, self._timeout) from None

    def _request(self, method: str, path: str, body: str | None, accept: str) -> Response:
        from urllib3 import Timeout

        asked, deadline = time.time(), time.monotonic() + self._timeout
        headers = {**self._headers, "Accept": accept}
        if body is not None:
            headers["Content-Type"] = JSON_MEDIA_TYPE
        try:
            response = self._pool.request(
                method,
                f"{self._host}{path}",
                body=body,
                headers=headers,
                timeout=Timeout(total=self._timeout),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            answered = time.time()
            content = bytearray()
            try:
                while len(content) <= _MAX_RESPONSE_BYTES and (part := response.read1(2**16)):
                    content += part
                    if time.monotonic() > deadline:
                        raise TimeoutError
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except Exception as error:  # urllib3 has many, http.client and ssl have more
            raise request_error(error, self._timeout) from None
        answer = Response(
            status=int(response.status),
            content=_decoded(content),
            date=response.headers.get("Date"),
            asked=asked,
            answered=answered,
        )
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise BadCredentialsError(
                "the API server refuses the kubeconfig's credentials: they are wrong or have expired (HTTP 401)"
            )
        if answer.status >= 500 or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise ApiUnreachableError(f"it answers with {_status(answer)} to {method} {path.partition('?')[0]}")
        return answer


def _suppress_tls_warnings() -> None:
    """Who leaves certificates unchecked has written so into the kubeconfig; kubectl doesn't warn of it either."""
    import urllib3

    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def _content(answer: Response, what: str) -> dict[str, Any]:
    if answer.status == HTTPStatus.FORBIDDEN:
        raise NotReadableError(f"{what} (not allowed)")
    if not 200 <= answer.status < 300 or answer.content is None:
        raise NotReadableError(f"{what} ({_status(answer)})")
    return answer.content


def _decoded(content: bytearray) -> dict[str, Any] | None:
    if len(content) > _MAX_RESPONSE_BYTES:
        return None
    try:
        decoded = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _status(answer: Response) -> str:
    if 200 <= answer.status < 300:
        return "an answer that is no JSON object"
    try:
        return f"HTTP {answer.status}, {HTTPStatus(answer.status).phrase}"
    except ValueError:
        return f"HTTP {answer.status}"
