"""The comment of a stack, which an invisible marker identifies."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from review.publish.api import PublishError, TransientError

# Each attempt starts with a search: the next attempt finds a comment that was created although the response was lost.
MAX_ATTEMPTS = 5
MAX_WAIT_S = 60  # even if a server requests more

# Characters of stack names. A marker with them cannot end the HTML comment or contain another marker.
STACK_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,200}"


@dataclass(frozen=True, kw_only=True)
class Comment:
    """An existing comment."""

    id: int
    author: str
    text: str


class CodeHost(Protocol):
    """A pull request or merge request on a code host."""

    @property
    def name(self) -> str:
        """Return the code host's name in messages."""

    @property
    def max_length(self) -> int:
        """Return the maximum length of a comment, in characters."""

    def neutralize_commands(self, text: str) -> str:
        """Return a text in which the code host executes no line as a command."""

    def current_user(self) -> str:
        """Return the name of the token's owner."""

    def comments(self) -> Iterable[Comment]:
        """Yield all comments of the request, oldest first."""

    def create(self, text: str) -> None:
        """Create a comment."""

    def update(self, comment: Comment, text: str) -> None:
        """Replace the text of a comment."""


def format_marker(stack: str) -> str:
    """Return the first line of a stack's comment, which is invisible to readers.

    Raises:
        PublishError: the name is not valid for a stack.
    """
    if not re.fullmatch(STACK_NAME_PATTERN, stack):
        raise PublishError(
            f"--marker: {stack[:80]!r}: stack names consist of letters, digits and `._/-`; set --marker to a stack name"
        )
    return f"<!-- multicluster-mesh review: {stack} -->"


def upsert_comment(
    code_host: CodeHost,
    stack: str,
    text: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Create or update the comment of a stack.

    Args:
        code_host: the request on its code host.
        stack: name of the stack.
        text: Markdown. The marker is added unless the text begins with it.
        sleep: function that waits for a number of seconds.

    Returns:
        `created`, `updated` or `unchanged`.

    Raises:
        PublishError: the comment cannot be written; no partial text is published.
    """
    marker = format_marker(stack)
    body = code_host.neutralize_commands(text if _begins_with(text, marker) else f"{marker}\n\n{text}")
    if len(body) > code_host.max_length:
        raise PublishError(
            f"--file: {len(body)} characters with the marker: the maximum of {code_host.name} is "
            f"{code_host.max_length}; shorten the text"
        )
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return _upsert_once(code_host, marker, body)
        except TransientError as error:
            if attempt == MAX_ATTEMPTS:
                raise
            delay_s = 2.0**attempt if error.wait_s is None else error.wait_s
            sleep(min(delay_s, MAX_WAIT_S))
    raise AssertionError


def _upsert_once(code_host: CodeHost, marker: str, body: str) -> str:
    user = code_host.current_user()
    # Other users can write comments with the same marker, so the author is compared too.
    own = (each for each in code_host.comments() if each.author == user and _begins_with(each.text, marker))
    comment = next(own, None)
    if comment is None:
        code_host.create(body)
        return "created"
    if comment.text.replace("\r\n", "\n") == body:
        return "unchanged"
    code_host.update(comment, body)
    return "updated"


def _begins_with(text: str, marker: str) -> bool:
    # Only the first line counts, because the review below can contain the marker of another stack.
    return text.partition("\n")[0].rstrip() == marker
