"""A fake GitHub or GitLab in this process, with the comments of one pull or merge request."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "a-token-that-nobody-may-see"
PAGE_SIZE = 2  # comments; a real one has a hundred


@dataclass
class FakeCodeHost:
    """Comments, received requests and configured failures of a code host."""

    kind: str  # github or gitlab
    comments: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    # Responses that replace the real ones, in order; with `fails_after_effect` the request still takes effect.
    failures: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    failing_methods: str = ""  # empty: all methods
    fails_after_effect: bool = False
    next_page_origin: str = ""  # origin of the link to the next page, if not this server
    bot_name: str = "github-actions[bot]"
    port: int = 0

    @property
    def url(self) -> str:
        """Return the URL of the API."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables that the code host's CI sets in a job."""
        if self.kind == "github":
            return {
                "GITHUB_API_URL": self.url,
                "GITHUB_GRAPHQL_URL": f"{self.url}/graphql",
                "GITHUB_REPOSITORY": "ours/mesh",
                "GITHUB_REF": "refs/pull/7/merge",
                "GITHUB_TOKEN": TOKEN,
                "GITHUB_SERVER_URL": "https://github.example.com",
                "GITHUB_RUN_ID": "99",
            }
        return {
            "CI_API_V4_URL": self.url,
            "CI_PROJECT_ID": "12",
            "CI_MERGE_REQUEST_IID": "7",
            "COMMENT_TOKEN": TOKEN,
            "CI_PIPELINE_URL": "https://gitlab.example.com/ours/mesh/-/pipelines/99",
        }

    @property
    def comments_path(self) -> str:
        """Return the path of the request's comments."""
        github = "/api/repos/ours/mesh/issues/7/comments"
        return github if self.kind == "github" else "/api/projects/12/merge_requests/7/notes"

    def add(self, text: str, author: str = "", **rest: Any) -> None:
        """Add a comment, by default of the bot."""
        user = {"login" if self.kind == "github" else "username": author or self.bot_name}
        author_key = "user" if self.kind == "github" else "author"
        self.comments.append({"id": 100 + len(self.comments), "body": text, author_key: user, **rest})

    @property
    def texts(self) -> list[str]:
        """Return the texts of all comments."""
        return [comment["body"] for comment in self.comments]

    def answer(self, method: str, path: str, query: str, body: Any) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and body of the response to a request."""
        if (method, path) == ("POST", "/api/graphql"):
            return 200, {}, {"data": {"viewer": {"login": self.bot_name}}}
        if (method, path) == ("GET", "/api/user"):
            return 200, {}, {"username": self.bot_name}
        if path == self.comments_path and method == "POST":
            self.add(body["body"])
            return 201, {}, self.comments[-1]
        if path == self.comments_path:
            match = re.search(r"\bpage=(\d+)", query)
            page = int(match[1]) if match else 1
            has_more = len(self.comments) > page * PAGE_SIZE
            return 200, self.paging_headers(page, has_more), self.comments[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        prefix = self.comments_path.replace("/7/comments", "/comments") + "/"
        if path.startswith(prefix) and method == ("PATCH" if self.kind == "github" else "PUT"):
            [comment] = [comment for comment in self.comments if comment["id"] == int(path.removeprefix(prefix))]
            comment["body"] = body["body"]
            return 200, {}, comment
        return 404, {}, {"message": "Not Found"}

    def paging_headers(self, page: int, has_more: bool) -> dict[str, str]:
        """Return the headers that link to the next page."""
        if self.kind == "gitlab":
            return {"X-Next-Page": str(page + 1) if has_more else ""}
        url = f"{self.next_page_origin or self.url.removesuffix('/api')}{self.comments_path}?per_page=100&page="
        return {"Link": f'<{url}1>; rel="first", <{url}{page + 1}>; rel="next"'} if has_more else {}


@contextmanager
def serve(kind: str) -> Iterator[FakeCodeHost]:
    """Serve a code host until exit."""
    code_host = FakeCodeHost(kind=kind, bot_name="github-actions[bot]" if kind == "github" else "project_12_bot")

    class CodeHostHandler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            code_host.requests.append(f"{self.command} {path}")
            authorization = self.headers.get("Authorization") or f"Bearer {self.headers.get('PRIVATE-TOKEN')}"
            headers: dict[str, str] = {}
            status, content = 401, '{"message": "Bad credentials"}'
            if authorization == f"Bearer {TOKEN}":
                fails = bool(code_host.failures) and self.command in (code_host.failing_methods or self.command)
                if not fails or code_host.fails_after_effect:
                    status, headers, answer = code_host.answer(self.command, path, query, json.loads(body or b"null"))
                    content = json.dumps(answer)
                if fails:
                    status, headers, content = code_host.failures.pop(0)
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        do_POST = do_PATCH = do_PUT = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), CodeHostHandler)
    code_host.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.001}, daemon=True)
    thread.start()
    try:
        yield code_host
    finally:
        server.shutdown()
        server.server_close()
