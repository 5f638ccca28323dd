"""HTTP client for the REST API of a code host. Messages never contain the token."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

REQUEST_TIMEOUT_S = 30
MAX_RESPONSE_BYTES = 64 * 1024 * 1024  # more than a page of a hundred comments of maximum length

# Printable ASCII: headers allow nothing else, and Python's own message about an invalid header would contain the token.
TOKEN_PATTERN = r"[!-~]{1,4096}"
URL_PATTERN = r"https?://[!-~]+"


class PublishError(Exception):
    """A reason why a comment cannot be written, in the form `subject: value: rule; remedy`."""


class TransientError(PublishError):
    """A failure that can pass, such as rate limiting or a server error.

    Args:
        message: the message if the failure persists.
        wait_s: the delay that the server requests, in seconds; None without such a request.
    """

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True, kw_only=True)
class CodeHostResponse:
    """Response of a code host."""

    content: Any
    headers: Message
    source: str  # request, for messages

    def objects(self) -> list[dict[str, Any]]:
        """Return a page of a list.

        Raises:
            PublishError: the content is not a list of objects.
        """
        if isinstance(self.content, list) and all(isinstance(item, dict) for item in self.content):
            return self.content
        raise PublishError(f"{self.source}: no list of objects: not a response of the API; correct the API's URL")


@dataclass(frozen=True, kw_only=True)
class CodeHostApi:
    """REST API of a code host with a token."""

    url: str  # without a trailing slash
    token: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)  # one of them contains the token
    remedies: Mapping[int, str]  # by HTTP status

    def request(self, method: str, url: str, content: Any = None) -> CodeHostResponse:
        """Send a request and return the response.

        Args:
            method: HTTP method, such as `GET`.
            url: absolute URL, or a path below the API's URL.
            content: JSON body; None for no body.

        Raises:
            TransientError: the server is unreachable, overloaded, or limits the rate.
            PublishError: the server refuses the request.
        """
        target = url if "://" in url else f"{self.url}{url}"
        if target != self.url and not target.startswith(f"{self.url}/"):
            # The server provides the URL of the next page. The token must not be sent to another host.
            raise PublishError(
                f"{self._sanitize(target)}: not below {self.url}: the token is only for that URL; correct the API's URL"
            )
        data = None if content is None else json.dumps(content).encode()
        request = Request(target, data=data, method=method, headers={**self.headers, "Accept": "application/json"})
        request.add_header("User-Agent", "multicluster-mesh")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        source = f"{method} {self._sanitize(target)}"
        try:
            with build_opener(_NoRedirect).open(request, timeout=REQUEST_TIMEOUT_S) as response:
                content = self._parse(source, response.read(MAX_RESPONSE_BYTES + 1))
                return CodeHostResponse(content=content, headers=response.headers, source=source)
        except HTTPError as error:
            with error:
                raise self._status_error(source, error) from None
        except (OSError, HTTPException) as error:
            raise TransientError(
                f"{source}: {self._sanitize(str(error) or type(error).__name__)}: no answer; check that the server is "
                "up and reachable from this job"
            ) from None

    def _parse(self, source: str, body: bytes) -> Any:
        try:
            if len(body) > MAX_RESPONSE_BYTES:
                raise ValueError
            return json.loads(body)
        except (ValueError, RecursionError):
            raise PublishError(
                f"{source}: {len(body)} bytes: not JSON, or too long for a response of the API; correct the API's URL"
            ) from None

    def _status_error(self, source: str, error: HTTPError) -> PublishError:
        try:
            body = json.loads(error.read(10_000))
        except (ValueError, RecursionError, OSError, HTTPException):
            body = None
        reason = (body.get("message") or body.get("error")) if isinstance(body, dict) else None
        detail = f" ({self._sanitize(reason if isinstance(reason, str) else json.dumps(reason))})" if reason else ""
        wait = error.headers.get("Retry-After", "")
        # GitHub limits the rate with status 403 and Retry-After, other servers with 429.
        if error.code == 429 or error.code >= 500 or wait:
            return TransientError(
                f"{source}: {error.code}{detail}: several attempts failed; run the job again later",
                float(wait) if re.fullmatch(r"\d{1,6}", wait) else None,
            )
        remedy = self.remedies.get(error.code, "look up the status in the code host's API documentation")
        return PublishError(f"{source}: {error.code}{detail}: request refused; {remedy}")

    def _sanitize(self, text: str) -> str:
        """Return a server's text as one printable line of at most 500 characters, without the token."""
        plain = "".join(letter if letter.isprintable() else " " for letter in text.replace(self.token, "[token]"))
        return " ".join(plain.split())[:500]


class _NoRedirect(HTTPRedirectHandler):
    """Refusal of redirects, because urllib would send the token to any host."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str) -> None:
        return None


def read_variable(environment: Mapping[str, str], name: str, pattern: str, *, description: str) -> str:
    """Return an environment variable. Messages never contain its value.

    Args:
        environment: the environment.
        name: name of the variable.
        pattern: regular expression for the whole value.
        description: meaning and origin of the variable, for messages.

    Raises:
        PublishError: the variable is missing or invalid.
    """
    value = environment.get(name, "").strip()
    if not value:
        raise PublishError(f"{name}: not set: required is {description}; run this command in a job that sets it")
    if not re.fullmatch(pattern, value):
        raise PublishError(f"{name}: […]: invalid: required is {description}; correct the variable")
    return value
