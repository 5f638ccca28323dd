"""Comment of a stack on a pull or merge request, on fake GitHub and GitLab servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from review.publish import PublishError, __main__, github, gitlab, upsert_comment
from review.publish.comment import MAX_ATTEMPTS, MAX_WAIT_S, format_marker
from tests.helpers.fake_code_host import TOKEN, FakeCodeHost, serve

GITHUB = ["github"]
CODE_HOSTS = ["github", "gitlab"]
MARKER_LINE = "<!-- multicluster-mesh review: prod -->"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def code_host(request: pytest.FixtureRequest) -> Iterator[FakeCodeHost]:
    with serve(request.param) as started:
        yield started


def publish(code_host: FakeCodeHost, text: str, stack: str = "prod", sleeps_s: list[float] | None = None) -> str:
    module = github if code_host.kind == "github" else gitlab
    waits: list[float] = [] if sleeps_s is None else sleeps_s
    return upsert_comment(module.from_environment(code_host.environment), stack, text, sleep=waits.append)


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
def test_first_review_creates_comment_and_later_reviews_update_it(code_host: FakeCodeHost) -> None:
    code_host.add("Looks good")

    assert publish(code_host, "one") == "created"
    assert publish(code_host, "two") == "updated"
    assert publish(code_host, "two") == "unchanged"
    assert code_host.texts == ["Looks good", f"{MARKER_LINE}\n\ntwo"]


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
def test_existing_comment_on_later_page_is_updated(code_host: FakeCodeHost) -> None:
    for number in range(6):
        code_host.add(f"remark {number}")
    code_host.add(f"{MARKER_LINE}\n\nold")
    code_host.add("the last remark")

    assert publish(code_host, "new") == "updated"
    assert code_host.texts[6] == f"{MARKER_LINE}\n\nnew"


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
def test_each_stack_has_its_own_comment(code_host: FakeCodeHost) -> None:
    publish(code_host, f"quotes another stack's marker:\n{MARKER_LINE}", stack="dev")
    publish(code_host, "of prod")
    publish(code_host, "of production", stack="production")

    assert [text.partition("\n")[0] for text in code_host.texts] == [
        format_marker("dev"),
        MARKER_LINE,
        format_marker("production"),
    ]


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
def test_marked_comment_of_another_author_is_ignored(code_host: FakeCodeHost) -> None:
    code_host.add(f"{MARKER_LINE}\n\nbait", author="mallory")
    code_host.add(f"{MARKER_LINE}\n\nbait", author="github-actions")

    assert publish(code_host, "ours") == "created"
    assert publish(code_host, "ours again") == "updated"
    assert code_host.texts[:2] == [f"{MARKER_LINE}\n\nbait"] * 2


def test_comments_without_author_and_system_notes_are_ignored() -> None:
    with serve("github") as code_host:
        code_host.comments.append({"id": 1, "body": MARKER_LINE, "user": None})
        assert publish(code_host, "ours") == "created"
    with serve("gitlab") as code_host:
        code_host.add(MARKER_LINE, system=True)
        assert publish(code_host, "ours") == "created"


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
def test_content_is_published_unchanged(code_host: FakeCodeHost) -> None:
    text = "žluť 🎉 \u202e `$(id)` ${{ secrets.X }} </details><!-- --> @all\r\n::error::x\n\t\0"

    publish(code_host, text)

    assert code_host.texts == [f"{MARKER_LINE}\n\n{text}"]


def test_gitlab_quick_actions_are_neutralized() -> None:
    text = "````diff\n```\n/close\n````\n//\na / b\n/merge"

    with serve("gitlab") as code_host:
        assert publish(code_host, text) == "created"
        assert publish(code_host, text) == "unchanged"
        assert code_host.texts == [f"{MARKER_LINE}\n\n````diff\n```\n /close\n````\n //\na / b\n /merge"]
    with serve("github") as code_host:
        publish(code_host, text)
        assert code_host.texts == [f"{MARKER_LINE}\n\n{text}"]


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
def test_text_with_marker_gets_no_second_marker(code_host: FakeCodeHost) -> None:
    publish(code_host, f"{MARKER_LINE}\nbody")

    assert code_host.texts == [f"{MARKER_LINE}\nbody"]


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
def test_server_errors_are_retried_with_delay(code_host: FakeCodeHost) -> None:
    code_host.failures = [(502, {}, "<html>Bad gateway</html>"), (429, {"Retry-After": "7"}, "{}"), (503, {}, "")]
    sleeps_s: list[float] = []

    assert publish(code_host, "text", sleeps_s=sleeps_s) == "created"
    assert sleeps_s == [2, 7, 8]


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
def test_lost_answer_creates_no_second_comment(code_host: FakeCodeHost) -> None:
    code_host.failures, code_host.fails_after_effect = [(504, {}, "")], True
    # On GitHub, the query for the author of the token is a POST too.
    code_host.failures *= 2 if code_host.kind == "github" else 1
    code_host.failing_methods = "POST"

    publish(code_host, "text")

    assert code_host.texts == [f"{MARKER_LINE}\n\ntext"]


@pytest.mark.parametrize("code_host", GITHUB, indirect=True)
def test_retries_are_limited(code_host: FakeCodeHost) -> None:
    code_host.failures = [(500, {"Retry-After": "86400"}, '{"message": "Server Error"}')] * 100
    sleeps_s: list[float] = []

    with pytest.raises(PublishError, match=r"500 \(Server Error\): .*several attempts failed; run the job again later"):
        publish(code_host, "text", sleeps_s=sleeps_s)
    assert sleeps_s == [MAX_WAIT_S] * (MAX_ATTEMPTS - 1)


@pytest.mark.parametrize("code_host", GITHUB, indirect=True)
def test_unreachable_code_host_is_reported(code_host: FakeCodeHost) -> None:
    environment = {**code_host.environment, "GITHUB_GRAPHQL_URL": "http://127.0.0.1:1/graphql"}

    with pytest.raises(PublishError, match=r"127\.0\.0\.1:1/graphql: .*refused.*: no answer; check that"):
        upsert_comment(github.from_environment(environment), "prod", "text", sleep=lambda _: None)


@pytest.mark.parametrize(
    ("kind", "status", "remedy"),
    [
        ("github", 401, "a token that has not expired"),
        ("github", 403, "`permissions: pull-requests: write`"),
        ("github", 404, "access to this repository"),
        ("github", 422, "GitHub's message"),
        ("gitlab", 401, "has not expired"),
        ("gitlab", 403, "the scope `api`"),
        ("gitlab", 404, "in this project"),
        ("gitlab", 418, "the code host's API documentation"),
    ],
)
def test_refusal_has_remedy_and_is_not_retried(kind: str, status: int, remedy: str) -> None:
    with serve(kind) as code_host:
        body = json.dumps({"message": f"no\n::error::\x1b[31m, {TOKEN}"})
        code_host.failures = [(status, {}, body)] * 9
        sleeps_s: list[float] = []

        with pytest.raises(PublishError) as raised:
            publish(code_host, "text", sleeps_s=sleeps_s)

    message = str(raised.value)
    assert f"{status} (no ::error:: [31m, [token]): request refused; " in message
    assert remedy in message
    assert not sleeps_s
    assert "\n" not in message


@pytest.mark.parametrize("code_host", GITHUB, indirect=True)
def test_token_is_sent_only_to_its_host(code_host: FakeCodeHost) -> None:
    with serve("github") as other:
        for _ in range(3):
            code_host.add("a remark")
        code_host.next_page_origin = other.url.removesuffix("/api")
        with pytest.raises(PublishError, match="the token is only for that URL"):
            publish(code_host, "text")

        code_host.failures = [(302, {"Location": f"{other.url}/graphql"}, "")]
        with pytest.raises(PublishError, match="302"):
            publish(code_host, "text")

    assert other.requests == []


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
@pytest.mark.parametrize("content", ["<html>Sign in</html>", "{}", "[]", "[1]", "null"])
def test_unexpected_api_answer_is_reported(code_host: FakeCodeHost, content: str) -> None:
    code_host.failures = [(200, {}, content)]

    with pytest.raises(PublishError, match=r"JSON|viewer|username"):
        publish(code_host, "text")

    assert code_host.comments == []


def test_invalid_comment_list_is_refused() -> None:
    with serve("gitlab") as code_host:
        for content in ('{"message": "later"}', "[1]"):
            code_host.failures = [(200, {}, '{"username": "project_12_bot"}'), (200, {}, content)]
            with pytest.raises(PublishError, match="no list of objects"):
                publish(code_host, "text")


def test_long_text_is_refused_before_any_request() -> None:
    with serve("github") as code_host:
        limit = 65_536 - len(MARKER_LINE) - 2
        with pytest.raises(
            PublishError, match="65537 characters with the marker: the maximum of GitHub is 65536; shorten the text"
        ):
            publish(code_host, "é" * (limit + 1))
        assert code_host.requests == []
        assert publish(code_host, "é" * limit) == "created"


@pytest.mark.parametrize("stack", ["", "a b", "x --><script>", "-->", "a\nb", "../x"])
def test_invalid_stack_name_has_no_marker(stack: str) -> None:
    with pytest.raises(PublishError, match="stack names consist of"):
        format_marker(stack)


@pytest.mark.parametrize("kind", CODE_HOSTS)
def test_missing_or_invalid_variables_are_named_without_value(kind: str) -> None:
    module = github if kind == "github" else gitlab
    environment = FakeCodeHost(kind=kind, port=1).environment
    unused = {"GITHUB_SERVER_URL", "GITHUB_RUN_ID", "CI_PIPELINE_URL"}

    for name in environment.keys() - unused:
        for value in ("", " ", "odd \n\N{PILE OF POO} value"):
            with pytest.raises(PublishError, match=f"^{name}: ") as raised:
                module.from_environment({**environment, name: value})
            assert "odd" not in str(raised.value)


def test_line_break_after_token_is_stripped() -> None:
    environment = {**FakeCodeHost(kind="gitlab", port=1).environment, "COMMENT_TOKEN": f"{TOKEN}\n"}

    assert TOKEN not in repr(gitlab.from_environment(environment))
    assert gitlab.from_environment(environment).api.token == TOKEN


@pytest.mark.parametrize("code_host", CODE_HOSTS, indirect=True)
def test_command_publishes_file_as_comment(
    code_host: FakeCodeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in code_host.environment.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "comment.md"
    file.write_text("# Review\n")
    command = [code_host.kind, "--file", str(file), "--marker", "prod"]

    assert __main__.main(command) == 0
    assert code_host.texts == [f"{MARKER_LINE}\n\n# Review\n"]
    assert capsys.readouterr().out == "comment of prod: created\n"

    file.unlink()
    assert __main__.main(command) == 1
    assert "no review of this commit" in code_host.texts[0]
    assert "s/99)" in code_host.texts[0]
    assert "the review failed; read the log" in capsys.readouterr().err

    file.write_bytes(b"\xff")
    assert __main__.main(command) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: --file: ")
    assert TOKEN not in captured.out + captured.err
