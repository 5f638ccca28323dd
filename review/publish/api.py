"""Requests to a forge's REST API: JSON in, JSON out, and a token that is never shown."""

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

TIMEOUT = 30  # seconds for one answer
LONGEST_ANSWER = 64 * 1024 * 1024  # bytes: a page of a hundred comments, each as long as can be, with room


class ForgeError(Exception):
    """What keeps a comment from being written, in the form `what: value: rule; remedy`."""


class TransientError(ForgeError):
    """A failure that may be gone the next time: too many requests, or a server's own trouble.

    Args:
        message: what is said if it doesn't pass.
        wait: the seconds that the server asks for, if it does.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True, kw_only=True)
class CodeHostResponse:
    """What a server has answered."""

    content: Any
    headers: Message
    source: str  # for messages

    def objects(self) -> list[dict[str, Any]]:
        """A page of a list.

        Raises:
            ForgeError: it is something else.
        """
        if isinstance(self.content, list) and all(isinstance(found, dict) for found in self.content):
            return self.content
        raise ForgeError(f"{self.source}: no list of objects: not what the forge's API answers; set the API's URL")


@dataclass(frozen=True, kw_only=True)
class CodeHostApi:
    """A forge's API, with the right to use it."""

    url: str  # without a slash at its end
    token: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)  # the token is in one of them
    remedies: Mapping[int, str]  # by status: what to do about it

    def ask(self, method: str, url: str, content: Any = None) -> CodeHostResponse:
        """Send one request.

        Args:
            method: such as `GET`.
            url: whole, or a path below the API's URL.
            content: what is sent as JSON, if anything.

        Raises:
            Passing: the server can't be reached, or asks for patience.
            ForgeError: it refuses.
        """
        target = url if "://" in url else f"{self.url}{url}"
        if target != self.url and not target.startswith(f"{self.url}/"):
            # A page of a list is where the server says. The token goes nowhere else than to the API.
            raise ForgeError(f"{self._shown(target)}: not below {self.url}, where the token belongs; set the API's URL")
        data = None if content is None else json.dumps(content).encode()
        request = Request(target, data=data, method=method, headers={**self.headers, "Accept": "application/json"})
        request.add_header("User-Agent", "multicluster-mesh")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        what = f"{method} {self._shown(target)}"
        try:
            with build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as response:
                content = self._read(what, response.read(LONGEST_ANSWER + 1))
                return CodeHostResponse(content=content, headers=response.headers, source=what)
        except HTTPError as error:
            with error:
                raise self._refusal(what, error) from None
        except (OSError, HTTPException) as error:
            raise TransientError(
                f"{what}: {self._shown(str(error) or type(error).__name__)}: no answer; see whether the forge is up "
                "and reachable from this job"
            ) from None

    def _read(self, what: str, body: bytes) -> Any:
        try:
            if len(body) > LONGEST_ANSWER:
                raise ValueError
            return json.loads(body)
        except (ValueError, RecursionError):
            raise ForgeError(
                f"{what}: {len(body)} bytes that aren't JSON, or too many: not an API's answer; set the API's URL"
            ) from None

    def _refusal(self, what: str, error: HTTPError) -> ForgeError:
        try:
            said = json.loads(error.read(10_000))
        except (ValueError, RecursionError, OSError, HTTPException):
            said = None
        reason = (said.get("message") or said.get("error")) if isinstance(said, dict) else None
        detail = f" ({self._shown(reason if isinstance(reason, str) else json.dumps(reason))})" if reason else ""
        wait = error.headers.get("Retry-After", "")
        # GitHub answers 403 with Retry-After where others have 429.
        if error.code == 429 or error.code >= 500 or wait:
            return TransientError(
                f"{what}: {error.code}{detail}: the forge couldn't answer, several times; run the job again later",
                float(wait) if re.fullmatch(r"\d{1,6}", wait) else None,
            )
        remedy = self.remedies.get(error.code, "see what the forge's API says of it")
        return ForgeError(f"{what}: {error.code}{detail}: the forge refuses it; {remedy}")

    def _shown(self, text: str) -> str:
        """A server's words as one printable line, in which no token can be."""
        plain = "".join(letter if letter.isprintable() else " " for letter in text.replace(self.token, "[token]"))
        return " ".join(plain.split())[:500]


class _NoRedirect(HTTPRedirectHandler):
    """Follows nothing: urllib would take the token along, to any host."""

    def redirect_request(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str) -> None:
        return None


def required(environment: Mapping[str, str], name: str, form: str, *, what: str) -> str:
    """A variable of the environment; what is in it is shown in no message.

    Args:
        environment: all variables.
        name: the one that is wanted.
        form: a regular expression that its whole value must match.
        what: what it is and who sets it, for the message.

    Raises:
        ForgeError: it is missing, or of another form.
    """
    value = environment.get(name, "").strip()
    if not value:
        raise ForgeError(f"{name}: not set: it is {what}; run this in a job that has it")
    if not re.fullmatch(form, value):
        raise ForgeError(f"{name}: […]: of another form: it must be {what}; mend it")
    return value


# Of printable ASCII, since a header can have nothing else; and Python's own message about one would show it.
TOKEN = r"[!-~]{1,4096}"
URL = r"https?://[!-~]+"
