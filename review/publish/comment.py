"""One comment per stack, found again by a marker that nobody sees, and kept up to date."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from review.publish.api import ForgeError, TransientError

# Each is tried as a whole: a comment that was made although the answer got lost is found by the next one.
ATTEMPTS = 5
LONGEST_WAIT = 60  # seconds, whatever a server asks for

# Names of stacks are of these letters; so no marker can end a comment of HTML, or another marker's.
NAME = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,200}"


@dataclass(frozen=True, kw_only=True)
class Comment:
    """A comment that is there."""

    id: int
    author: str
    text: str


class CodeHost(Protocol):
    """A place with requests that can be commented on."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def longest(self) -> int:
        """How many characters a comment can have."""

    def harmless(self, text: str) -> str:
        """A text of which the forge takes no line for a command to itself."""

    def me(self) -> str:
        """The name of whoever the token is."""

    def comments(self) -> Iterable[Comment]:
        """All comments of the request, oldest first."""

    def create(self, text: str) -> None:
        """Add a comment."""

    def update(self, comment: Comment, text: str) -> None:
        """Put another text into a comment."""


def marker(stack: str) -> str:
    """The line that a stack's comment begins with, and that no reader sees.

    Raises:
        ForgeError: no stack can have that name.
    """
    if not re.fullmatch(NAME, stack):
        raise ForgeError(
            f"--marker: {stack[:80]!r}: no name of a stack, which has letters, digits and `._/-`; give the stack's"
        )
    return f"<!-- multicluster-mesh review: {stack} -->"


def upsert_comment(
    forge: CodeHost,
    stack: str,
    text: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Put a text into the stack's comment, which is made if there is none.

    Args:
        forge: where.
        stack: whose comment.
        text: Markdown; the marker is put before it, unless it begins with it.
        sleep: waits for so many seconds.

    Returns:
        `created`, `updated`, or `unchanged`.

    Raises:
        ForgeError: it can't be done; nothing half-done is left.
    """
    line = marker(stack)
    body = forge.harmless(text if _begins_with(text, line) else f"{line}\n\n{text}")
    if len(body) > forge.longest:
        raise ForgeError(
            f"--file: {len(body)} characters, marker included: {forge.name} takes {forge.longest}; shorten it"
        )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _put(forge, line, body)
        except TransientError as error:
            if attempt == ATTEMPTS:
                raise
            asked = 2.0**attempt if error.wait is None else error.wait
            sleep(min(asked, LONGEST_WAIT))
    raise AssertionError


def _put(forge: CodeHost, line: str, body: str) -> str:
    me = forge.me()
    # Anybody may write a comment with that marker; only what this token's owner has written is its own.
    own = (found for found in forge.comments() if found.author == me and _begins_with(found.text, line))
    comment = next(own, None)
    if comment is None:
        forge.create(body)
        return "created"
    if comment.text.replace("\r\n", "\n") == body:
        return "unchanged"
    forge.update(comment, body)
    return "updated"


def _begins_with(text: str, line: str) -> bool:
    # Only the first line counts: further down, what is reviewed might hold another stack's marker.
    return text.partition("\n")[0].rstrip() == line
