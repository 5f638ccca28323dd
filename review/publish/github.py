"""Comments of a pull request on GitHub, by its REST API for issues' comments.

The form is that of https://docs.github.com/rest/issues/comments, version 2022-11-28.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from review.publish.api import TOKEN, URL, CodeHostApi, ForgeError, required
from review.publish.comment import Comment

# GitHub lists a hundred a page, and takes 2500 comments.
MOST_PAGES = 100

REMEDIES = {
    401: "let the job have a token that hasn't expired",
    403: "give the job `permissions: pull-requests: write`; a fork's pull request can't have it",
    404: "let the token reach this repository, and the number be that of a pull request",
    422: "see what GitHub says of the text",
}


@dataclass(frozen=True, kw_only=True)
class GitHub:
    """A pull request, and the right to comment on it."""

    api: CodeHostApi
    graphql: CodeHostApi
    repository: str  # owner/name
    number: int
    longest: int = 65_536
    name: str = "GitHub"

    def harmless(self, text: str) -> str:
        """The text: GitHub takes no orders from comments."""
        return text

    def me(self) -> str:
        """The login of the token's owner, be it a user or a workflow (`github-actions[bot]`)."""
        # The only question that all kinds of tokens may ask: REST's /user is closed to those of workflows.
        answer = self.graphql.ask("POST", self.graphql.url, {"query": "{ viewer { login } }"}).content
        try:
            return str(answer["data"]["viewer"]["login"])
        except (KeyError, TypeError):
            raise ForgeError(
                f"{self.graphql.url}: no viewer in the answer: whose the token is must be known, so that no stranger's "
                "comment is edited; give the job a token of GitHub"
            ) from None

    def comments(self) -> Iterator[Comment]:
        """All comments, page after page."""
        url: str | None = f"{self._path}/{self.number}/comments?per_page=100"
        for _ in range(MOST_PAGES):
            if url is None:
                return
            page = self.api.ask("GET", url)
            for found in page.objects():
                author = (found.get("user") or {}).get("login") or ""  # a user who is gone is null
                yield Comment(id=int(found["id"]), author=author, text=found.get("body") or "")
            url = _next(page.headers.get("Link", ""))
        raise ForgeError(
            f"{self.repository}#{self.number}: more than {MOST_PAGES * 100} comments: the stack's own can't be found "
            "among so many; open another pull request"
        )

    def create(self, text: str) -> None:
        """Add a comment."""
        self.api.ask("POST", f"{self._path}/{self.number}/comments", {"body": text})

    def update(self, comment: Comment, text: str) -> None:
        """Put another text into a comment."""
        self.api.ask("PATCH", f"{self._path}/comments/{comment.id}", {"body": text})

    @property
    def _path(self) -> str:
        return f"/repos/{self.repository}/issues"


def from_environment(environment: Mapping[str, str]) -> GitHub:
    """The pull request that a workflow runs for.

    Args:
        environment: with GITHUB_API_URL, GITHUB_GRAPHQL_URL, GITHUB_REPOSITORY and GITHUB_REF, which GitHub sets; and
            GITHUB_TOKEN, which the workflow must hand to the step.

    Raises:
        ForgeError: one of these is missing, or isn't what GitHub sets.
    """
    token = required(environment, "GITHUB_TOKEN", TOKEN, what="the workflow's token, which the step's `env` must have")
    headers = {"Authorization": f"Bearer {token}", "X-GitHub-Api-Version": "2022-11-28"}

    def api(name: str) -> CodeHostApi:
        url = required(environment, name, URL, what="the address of GitHub's API, which GitHub sets")
        return CodeHostApi(url=url.rstrip("/"), token=token, headers=headers, remedies=REMEDIES)

    reference = required(
        environment, "GITHUB_REF", r"refs/pull/[0-9]+/\S+", what="a pull request's (refs/pull/1/merge), on pull_request"
    )
    return GitHub(
        api=api("GITHUB_API_URL"),
        graphql=api("GITHUB_GRAPHQL_URL"),
        repository=required(environment, "GITHUB_REPOSITORY", r"[\w.-]+/[\w.-]+", what="owner/name, which GitHub sets"),
        number=int(reference.split("/")[2]),
    )


def run_url(environment: Mapping[str, str]) -> str | None:
    """Where the log of this run is, if GitHub runs it."""
    parts = [environment.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else None


def _next(link: str) -> str | None:
    found = re.search(r'<([^>]+)>;[^,]*\brel="next"', link)
    return found[1] if found else None
