"""Comments of a GitHub pull request.

Follows https://docs.github.com/rest/issues/comments, version 2022-11-28.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from review.publish.api import TOKEN_PATTERN, URL_PATTERN, CodeHostApi, PublishError, read_variable
from review.publish.comment import Comment

# A page has 100 comments, and GitHub accepts 2500 comments per pull request.
MAX_PAGES = 100

REMEDIES = {
    401: "give the job a token that has not expired",
    403: "set `permissions: pull-requests: write` for the job; pull requests from forks cannot have it",
    404: "give the token access to this repository, and use the number of a pull request",
    422: "read GitHub's message about the text",
}


@dataclass(frozen=True, kw_only=True)
class GitHubPullRequest:
    """A pull request, with the API and a token to comment on it."""

    api: CodeHostApi
    graphql: CodeHostApi
    repository: str  # owner/name
    number: int
    max_length: int = 65_536
    name: str = "GitHub"

    def neutralize_commands(self, text: str) -> str:
        """Return the text unchanged, because GitHub executes no commands in comments."""
        return text

    def current_user(self) -> str:
        """Return the login of the token's owner: a user, or a workflow (`github-actions[bot]`)."""
        # GraphQL answers for every kind of token; REST's /user refuses tokens of workflows.
        answer = self.graphql.request("POST", self.graphql.url, {"query": "{ viewer { login } }"}).content
        try:
            return str(answer["data"]["viewer"]["login"])
        except (KeyError, TypeError):
            raise PublishError(
                f"{self.graphql.url}: no viewer in the response: the token's owner must be known, so that comments of "
                "others are not edited; give the job a GitHub token"
            ) from None

    def comments(self) -> Iterator[Comment]:
        """Yield all comments, page by page."""
        url: str | None = f"{self._path}/{self.number}/comments?per_page=100"
        for _ in range(MAX_PAGES):
            if url is None:
                return
            page = self.api.request("GET", url)
            for comment in page.objects():
                author = (comment.get("user") or {}).get("login") or ""  # null for deleted users
                yield Comment(id=int(comment["id"]), author=author, text=comment.get("body") or "")
            url = _next_page(page.headers.get("Link", ""))
        raise PublishError(
            f"{self.repository}#{self.number}: more than {MAX_PAGES * 100} comments: too many to find the stack's own; "
            "open another pull request"
        )

    def create(self, text: str) -> None:
        """Create a comment."""
        self.api.request("POST", f"{self._path}/{self.number}/comments", {"body": text})

    def update(self, comment: Comment, text: str) -> None:
        """Replace the text of a comment."""
        self.api.request("PATCH", f"{self._path}/comments/{comment.id}", {"body": text})

    @property
    def _path(self) -> str:
        return f"/repos/{self.repository}/issues"


def from_environment(environment: Mapping[str, str]) -> GitHubPullRequest:
    """Return the pull request of the running workflow.

    Args:
        environment: GitHub sets GITHUB_API_URL, GITHUB_GRAPHQL_URL, GITHUB_REPOSITORY and GITHUB_REF. The workflow must
            pass GITHUB_TOKEN to the step.

    Raises:
        PublishError: a variable is missing or invalid.
    """
    token = read_variable(
        environment, "GITHUB_TOKEN", TOKEN_PATTERN, description="the workflow's token, set in the step's `env`"
    )
    headers = {"Authorization": f"Bearer {token}", "X-GitHub-Api-Version": "2022-11-28"}

    def build_api(name: str) -> CodeHostApi:
        url = read_variable(environment, name, URL_PATTERN, description="the URL of GitHub's API, set by GitHub")
        return CodeHostApi(url=url.rstrip("/"), token=token, headers=headers, remedies=REMEDIES)

    reference = read_variable(
        environment,
        "GITHUB_REF",
        r"refs/pull/[0-9]+/\S+",
        description="the ref of a pull request (refs/pull/1/merge), set by GitHub for the event pull_request",
    )
    return GitHubPullRequest(
        api=build_api("GITHUB_API_URL"),
        graphql=build_api("GITHUB_GRAPHQL_URL"),
        repository=read_variable(
            environment, "GITHUB_REPOSITORY", r"[\w.-]+/[\w.-]+", description="owner/name, set by GitHub"
        ),
        number=int(reference.split("/")[2]),
    )


def run_url(environment: Mapping[str, str]) -> str | None:
    """Return the URL of the workflow run and its log, or None outside GitHub."""
    parts = [environment.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else None


def _next_page(link: str) -> str | None:
    match = re.search(r'<([^>]+)>;[^,]*\brel="next"', link)
    return match[1] if match else None
