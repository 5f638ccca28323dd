"""The one comment of a stack on a pull or merge request, against servers that stand in for GitHub and GitLab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from review.publish import ForgeError, __main__, github, gitlab, upsert_comment
from review.publish.comment import MAX_ATTEMPTS, MAX_WAIT_S, format_marker
from tests.helpers.fake_code_host import TOKEN, FakeCodeHost, serve

GITHUB = ["github"]
BOTH = ["github", "gitlab"]
LINE = "<!-- multicluster-mesh review: prod -->"


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def forge(request: pytest.FixtureRequest) -> Iterator[FakeCodeHost]:
    with serve(request.param) as started:
        yield started


def put(forge: FakeCodeHost, text: str, stack: str = "prod", slept: list[float] | None = None) -> str:
    module = github if forge.kind == "github" else gitlab
    waits: list[float] = [] if slept is None else slept
    return upsert_comment(module.from_environment(forge.environment), stack, text, sleep=waits.append)


@pytest.mark.parametrize("forge", BOTH, indirect=True)
def test_a_first_review_is_a_new_comment_and_the_next_ones_are_the_same(forge: FakeCodeHost) -> None:
    forge.add("Looks good")

    assert put(forge, "one") == "created"
    assert put(forge, "two") == "updated"
    assert put(forge, "two") == "unchanged"
    assert forge.texts == ["Looks good", f"{LINE}\n\ntwo"]


@pytest.mark.parametrize("forge", BOTH, indirect=True)
def test_a_comment_is_found_on_a_later_page(forge: FakeCodeHost) -> None:
    for number in range(6):
        forge.add(f"remark {number}")
    forge.add(f"{LINE}\n\nold")
    forge.add("the last remark")

    assert put(forge, "new") == "updated"
    assert forge.texts[6] == f"{LINE}\n\nnew"


@pytest.mark.parametrize("forge", BOTH, indirect=True)
def test_each_stack_has_a_comment_of_its_own(forge: FakeCodeHost) -> None:
    put(forge, f"quotes another stack's marker:\n{LINE}", stack="dev")
    put(forge, "of prod")
    put(forge, "of production", stack="production")

    assert [text.partition("\n")[0] for text in forge.texts] == [
        format_marker("dev"),
        LINE,
        format_marker("production"),
    ]


@pytest.mark.parametrize("forge", BOTH, indirect=True)
def test_a_strangers_comment_with_the_marker_is_left_alone(forge: FakeCodeHost) -> None:
    forge.add(f"{LINE}\n\nbait", author="mallory")
    forge.add(f"{LINE}\n\nbait", author="github-actions")

    assert put(forge, "ours") == "created"
    assert put(forge, "ours again") == "updated"
    assert forge.texts[:2] == [f"{LINE}\n\nbait"] * 2


def test_what_has_no_author_any_more_or_was_written_by_gitlab_itself_is_nobodys() -> None:
    with serve("github") as forge:
        forge.comments.append({"id": 1, "body": LINE, "user": None})
        assert put(forge, "ours") == "created"
    with serve("gitlab") as forge:
        forge.add(LINE, system=True)
        assert put(forge, "ours") == "created"


@pytest.mark.parametrize("forge", BOTH, indirect=True)
def test_content_is_passed_on_as_it_is(forge: FakeCodeHost) -> None:
    text = "žluť 🎉 \u202e `$(id)` ${{ secrets.X }} </details><!-- --> @all\r\n::error::x\n\t\0"

    put(forge, text)

    assert forge.texts == [f"{LINE}\n\n{text}"]


def test_no_line_is_an_order_to_gitlab() -> None:
    text = "````diff\n```\n/close\n````\n//\na / b\n/merge"

    with serve("gitlab") as forge:
        assert put(forge, text) == "created"
        assert put(forge, text) == "unchanged"
        assert forge.texts == [f"{LINE}\n\n````diff\n```\n /close\n````\n //\na / b\n /merge"]
    with serve("github") as forge:
        put(forge, text)
        assert forge.texts == [f"{LINE}\n\n{text}"]


@pytest.mark.parametrize("forge", BOTH, indirect=True)
def test_a_text_that_begins_with_the_marker_gets_no_second_one(forge: FakeCodeHost) -> None:
    put(forge, f"{LINE}\nbody")

    assert forge.texts == [f"{LINE}\nbody"]


@pytest.mark.parametrize("forge", BOTH, indirect=True)
def test_a_server_in_trouble_is_asked_again_a_little_later(forge: FakeCodeHost) -> None:
    forge.failures = [(502, {}, "<html>Bad gateway</html>"), (429, {"Retry-After": "7"}, "{}"), (503, {}, "")]
    slept: list[float] = []

    assert put(forge, "text", slept=slept) == "created"
    assert slept == [2, 7, 8]


@pytest.mark.parametrize("forge", BOTH, indirect=True)
def test_a_comment_whose_answer_got_lost_is_not_made_twice(forge: FakeCodeHost) -> None:
    forge.failures, forge.late = [(504, {}, "")], True
    # GitHub is asked by POST who the token is, too.
    forge.failures *= 2 if forge.kind == "github" else 1
    forge.failing = "POST"

    put(forge, "text")

    assert forge.texts == [f"{LINE}\n\ntext"]


@pytest.mark.parametrize("forge", GITHUB, indirect=True)
def test_patience_has_an_end(forge: FakeCodeHost) -> None:
    forge.failures = [(500, {"Retry-After": "86400"}, '{"message": "Server Error"}')] * 100
    slept: list[float] = []

    with pytest.raises(ForgeError, match=r"500 \(Server Error\): .*several times; run the job again later"):
        put(forge, "text", slept=slept)
    assert slept == [MAX_WAIT_S] * (MAX_ATTEMPTS - 1)


@pytest.mark.parametrize("forge", GITHUB, indirect=True)
def test_a_forge_that_is_not_there_is_said_to_be_so(forge: FakeCodeHost) -> None:
    environment = {**forge.environment, "GITHUB_GRAPHQL_URL": "http://127.0.0.1:1/graphql"}

    with pytest.raises(ForgeError, match=r"127\.0\.0\.1:1/graphql: .*refused.*: no answer; see whether"):
        upsert_comment(github.pull_request_from_environment(environment), "prod", "text", sleep=lambda _: None)


@pytest.mark.parametrize(
    ("kind", "status", "remedy"),
    [
        ("github", 401, "a token that hasn't expired"),
        ("github", 403, "`permissions: pull-requests: write`"),
        ("github", 404, "reach this repository"),
        ("github", 422, "what GitHub says"),
        ("gitlab", 401, "hasn't expired"),
        ("gitlab", 403, "the scope `api`"),
        ("gitlab", 404, "of this very project"),
        ("gitlab", 418, "see what the forge's API says"),
    ],
)
def test_a_refusal_says_what_to_do_and_is_not_tried_again(kind: str, status: int, remedy: str) -> None:
    with serve(kind) as forge:
        said = json.dumps({"message": f"no\n::error::\x1b[31m, {TOKEN}"})
        forge.failures = [(status, {}, said)] * 9
        slept: list[float] = []

        with pytest.raises(ForgeError) as raised:
            put(forge, "text", slept=slept)

    message = str(raised.value)
    assert f"{status} (no ::error:: [31m, [token]): the forge refuses it; " in message
    assert remedy in message
    assert not slept
    assert "\n" not in message


@pytest.mark.parametrize("forge", GITHUB, indirect=True)
def test_the_token_goes_nowhere_else(forge: FakeCodeHost) -> None:
    with serve("github") as other:
        for _ in range(3):
            forge.add("a remark")
        forge.elsewhere = other.url.removesuffix("/api")
        with pytest.raises(ForgeError, match="where the token belongs"):
            put(forge, "text")

        forge.failures = [(302, {"Location": f"{other.url}/graphql"}, "")]
        with pytest.raises(ForgeError, match="302"):
            put(forge, "text")

    assert other.requests == []


@pytest.mark.parametrize("forge", BOTH, indirect=True)
@pytest.mark.parametrize("content", ["<html>Sign in</html>", "{}", "[]", "[1]", "null"])
def test_what_is_no_answer_of_an_api_is_said_to_be_none(forge: FakeCodeHost, content: str) -> None:
    forge.failures = [(200, {}, content)]

    with pytest.raises(ForgeError, match=r"JSON|viewer|username"):
        put(forge, "text")

    assert forge.comments == []


def test_a_list_that_is_none_is_refused() -> None:
    with serve("gitlab") as forge:
        for content in ('{"message": "later"}', "[1]"):
            forge.failures = [(200, {}, '{"username": "project_12_bot"}'), (200, {}, content)]
            with pytest.raises(ForgeError, match="no list of objects"):
                put(forge, "text")


def test_a_text_that_is_too_long_is_refused_before_anything_is_asked() -> None:
    with serve("github") as forge:
        room = 65_536 - len(LINE) - 2
        with pytest.raises(ForgeError, match="65537 characters, marker included: GitHub takes 65536; shorten it"):
            put(forge, "é" * (room + 1))
        assert forge.requests == []
        assert put(forge, "é" * room) == "created"


@pytest.mark.parametrize("stack", ["", "a b", "x --><script>", "-->", "a\nb", "../x"])
def test_what_is_no_stacks_name_is_no_marker(stack: str) -> None:
    with pytest.raises(ForgeError, match="no name of a stack"):
        format_marker(stack)


@pytest.mark.parametrize("kind", BOTH)
def test_every_variable_that_is_missing_or_odd_is_named_and_none_is_shown(kind: str) -> None:
    module = github if kind == "github" else gitlab
    whole = FakeCodeHost(kind=kind, port=1).environment
    unused = {"GITHUB_SERVER_URL", "GITHUB_RUN_ID", "CI_PIPELINE_URL"}

    for name in whole.keys() - unused:
        for value in ("", " ", "odd \n\N{PILE OF POO} value"):
            with pytest.raises(ForgeError, match=f"^{name}: ") as raised:
                module.from_environment({**whole, name: value})
            assert "odd" not in str(raised.value)


def test_a_line_break_after_a_token_is_forgiven() -> None:
    environment = {**FakeCodeHost(kind="gitlab", port=1).environment, "COMMENT_TOKEN": f"{TOKEN}\n"}

    assert TOKEN not in repr(gitlab.merge_request_from_environment(environment))
    assert gitlab.merge_request_from_environment(environment).api.token == TOKEN


@pytest.mark.parametrize("forge", BOTH, indirect=True)
def test_the_command_puts_a_file_into_the_comment(
    forge: FakeCodeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in forge.environment.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "comment.md"
    file.write_text("# Review\n")
    command = [forge.kind, "--file", str(file), "--marker", "prod"]

    assert __main__.main(command) == 0
    assert forge.texts == [f"{LINE}\n\n# Review\n"]
    assert capsys.readouterr().out == "comment of prod: created\n"

    file.unlink()
    assert __main__.main(command) == 1
    assert "no review of this commit" in forge.texts[0]
    assert "s/99)" in forge.texts[0]
    assert "the review ended without it" in capsys.readouterr().err

    file.write_bytes(b"\xff")
    assert __main__.main(command) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: --file: ")
    assert TOKEN not in printed.out + printed.err
