"""Notes of a merge request on GitLab, by its REST API, version 4.

The form is that of https://docs.gitlab.com/api/notes/#merge-requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from review.publish.api import TOKEN, URL, CodeHostApi, ForgeError, required
from review.publish.comment import Comment

# A hundred notes each. GitLab takes 5000 comments, and adds notes of its own.
MOST_PAGES = 200

_TOKEN_HINT = "let COMMENT_TOKEN be a project access token with the scope `api` and the role Reporter or higher"
REMEDIES = {
    400: "see what GitLab says of the text",
    401: f"{_TOKEN_HINT} that hasn't expired",
    403: _TOKEN_HINT,
    404: f"{_TOKEN_HINT}, of this very project",
}


@dataclass(frozen=True, kw_only=True)
class GitLab:
    """A merge request, and the right to comment on it."""

    api: CodeHostApi
    project: int
    number: int  # the merge request's in its project: the iid
    longest: int = 1_000_000
    name: str = "GitLab"

    def harmless(self, text: str) -> str:
        """The text, with a space before each line that could be a quick action, such as `/close`.

        GitLab obeys these with the rights of the token's owner. It passes over those in blocks of code, but takes for
        the end of a block what Markdown doesn't; and what is reviewed may hold any line.
        """
        return re.sub(r"^(?=/)", " ", text, flags=re.MULTILINE)

    def me(self) -> str:
        """The user name of the token's owner; a project access token's is a bot of its own."""
        user = self.api.ask("GET", "/user").content
        if not isinstance(user, dict) or not user.get("username"):
            raise ForgeError(
                f"{self.api.url}/user: no username in the answer: whose the token is must be known, so that no "
                f"stranger's note is edited; {_TOKEN_HINT}"
            )
        return str(user["username"])

    def comments(self) -> Iterator[Comment]:
        """All notes that somebody has written, oldest first, page after page."""
        page = "1"
        for _ in range(MOST_PAGES):
            answer = self.api.ask("GET", f"{self._path}?per_page=100&order_by=created_at&sort=asc&page={page}")
            for found in answer.objects():
                if not found.get("system"):
                    author = (found.get("author") or {}).get("username") or ""
                    yield Comment(id=int(found["id"]), author=author, text=found.get("body") or "")
            page = answer.headers.get("X-Next-Page", "")
            if not page.isdecimal():
                return
        raise ForgeError(
            f"!{self.number}: more than {MOST_PAGES * 100} notes: the stack's own can't be found among so many; open "
            "another merge request"
        )

    def create(self, text: str) -> None:
        """Add a note."""
        self.api.ask("POST", self._path, {"body": text})

    def update(self, comment: Comment, text: str) -> None:
        """Put another text into a note."""
        self.api.ask("PUT", f"{self._path}/{comment.id}", {"body": text})

    @property
    def _path(self) -> str:
        return f"/projects/{self.project}/merge_requests/{self.number}/notes"


def from_environment(environment: Mapping[str, str]) -> GitLab:
    """The merge request that a pipeline runs for.

    Args:
        environment: with CI_API_V4_URL, CI_PROJECT_ID and CI_MERGE_REQUEST_IID, which GitLab sets; and COMMENT_TOKEN,
            a variable of the project. The job's own token can't write notes.

    Raises:
        ForgeError: one of these is missing, or isn't what GitLab sets.
    """
    token = required(
        environment, "COMMENT_TOKEN", TOKEN, what="a project access token with the scope `api`, a CI/CD variable"
    )
    url = required(environment, "CI_API_V4_URL", URL, what="the address of GitLab's API, which GitLab sets")
    return GitLab(
        api=CodeHostApi(url=url.rstrip("/"), token=token, headers={"PRIVATE-TOKEN": token}, remedies=REMEDIES),
        project=int(required(environment, "CI_PROJECT_ID", r"[0-9]+", what="the project's number, which GitLab sets")),
        number=int(
            required(
                environment, "CI_MERGE_REQUEST_IID", r"[0-9]+", what="the merge request's number, in pipelines of one"
            )
        ),
    )


def run_url(environment: Mapping[str, str]) -> str | None:
    """Where the logs of this pipeline are, if GitLab runs it."""
    return environment.get("CI_PIPELINE_URL") or None
