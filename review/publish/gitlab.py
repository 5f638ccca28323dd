"""Notes of a GitLab merge request.

Follows https://docs.gitlab.com/api/notes/#merge-requests, version 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from review.publish.api import TOKEN_PATTERN, URL_PATTERN, CodeHostApi, PublishError, read_variable
from review.publish.comment import Comment

# A page has 100 notes. GitLab accepts 5000 comments per merge request, and adds system notes.
MAX_PAGES = 200

_TOKEN_REMEDY = "set COMMENT_TOKEN to a project access token with the scope `api` and the role Reporter or higher"
REMEDIES = {
    400: "read GitLab's message about the text",
    401: f"{_TOKEN_REMEDY} that has not expired",
    403: _TOKEN_REMEDY,
    404: f"{_TOKEN_REMEDY} in this project",
}


@dataclass(frozen=True, kw_only=True)
class GitLabMergeRequest:
    """A merge request, with the API and a token to comment on it."""

    api: CodeHostApi
    project: int
    number: int  # IID: the number within the project
    max_length: int = 1_000_000
    name: str = "GitLab"

    def neutralize_commands(self, text: str) -> str:
        """Return the text with a space before each line that could be a quick action, such as `/close`.

        GitLab executes quick actions with the permissions of the token's owner. GitLab skips code blocks, but ends them
        earlier than Markdown does, and a review can contain any line.
        """
        return re.sub(r"^(?=/)", " ", text, flags=re.MULTILINE)

    def current_user(self) -> str:
        """Return the user name of the token's owner; each project access token has its own bot user."""
        user = self.api.request("GET", "/user").content
        if not isinstance(user, dict) or not user.get("username"):
            raise PublishError(
                f"{self.api.url}/user: no username in the response: the token's owner must be known, so that notes of "
                f"others are not edited; {_TOKEN_REMEDY}"
            )
        return str(user["username"])

    def comments(self) -> Iterator[Comment]:
        """Yield all notes except system notes, oldest first, page by page."""
        page = "1"
        for _ in range(MAX_PAGES):
            answer = self.api.request("GET", f"{self._path}?per_page=100&order_by=created_at&sort=asc&page={page}")
            for note in answer.objects():
                if not note.get("system"):
                    author = (note.get("author") or {}).get("username") or ""
                    yield Comment(id=int(note["id"]), author=author, text=note.get("body") or "")
            page = answer.headers.get("X-Next-Page", "")
            if not page.isdecimal():
                return
        raise PublishError(
            f"!{self.number}: more than {MAX_PAGES * 100} notes: too many to find the stack's own; "
            "open another merge request"
        )

    def create(self, text: str) -> None:
        """Create a note."""
        self.api.request("POST", self._path, {"body": text})

    def update(self, comment: Comment, text: str) -> None:
        """Replace the text of a note."""
        self.api.request("PUT", f"{self._path}/{comment.id}", {"body": text})

    @property
    def _path(self) -> str:
        return f"/projects/{self.project}/merge_requests/{self.number}/notes"


def from_environment(environment: Mapping[str, str]) -> GitLabMergeRequest:
    """Return the merge request of the running pipeline.

    Args:
        environment: GitLab sets CI_API_V4_URL, CI_PROJECT_ID and CI_MERGE_REQUEST_IID. COMMENT_TOKEN is a CI/CD
            variable of the project, because the job's own token cannot write notes.

    Raises:
        PublishError: a variable is missing or invalid.
    """
    token = read_variable(
        environment,
        "COMMENT_TOKEN",
        TOKEN_PATTERN,
        description="a project access token with the scope `api`, set as a CI/CD variable",
    )
    url = read_variable(environment, "CI_API_V4_URL", URL_PATTERN, description="the URL of GitLab's API, set by GitLab")
    project = read_variable(environment, "CI_PROJECT_ID", r"[0-9]+", description="the project's ID, set by GitLab")
    number = read_variable(
        environment,
        "CI_MERGE_REQUEST_IID",
        r"[0-9]+",
        description="the merge request's number, set by GitLab in merge request pipelines",
    )
    return GitLabMergeRequest(
        api=CodeHostApi(url=url.rstrip("/"), token=token, headers={"PRIVATE-TOKEN": token}, remedies=REMEDIES),
        project=int(project),
        number=int(number),
    )


def run_url(environment: Mapping[str, str]) -> str | None:
    """Return the URL of the pipeline and its logs, or None outside GitLab."""
    return environment.get("CI_PIPELINE_URL") or None
