"""The text of a review: harmless whatever is in it, and never too long."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from review import markdown, markdown_escape
from review.changes import ObjectChange, ReleaseChange, compare_resources
from review.diff import diff_fields
from review.objects import ObjectIdentity
from review.report import PolicyFinding, Report
from review.truncation import TextPart, truncate_parts
from tests.helpers import previews

HOSTILE = [
    "<script>alert(1)</script>",
    "</summary></details># pwned",
    "```\n# pwned\n```",
    "`` ` ``",
    "| cell | cell |",
    "[click](https://evil.example.com) ![x](https://evil.example.com/x.png)",
    "@somebody #1 <!-- comment -->",
    "\u202etxt.exe\u2066 \x1b[31mred\x07 zero\u200bwidth",
    "<img src=x onerror=alert(1)>",
    "line\r\n\r\n# heading",
]


def report(*resources: Any, **others: Any) -> Report:
    return Report(stack="dev", clusters={"west": None}, resources=tuple(resources), releases=(), **others)


def change(before: Any, after: Any, name: str = "shop") -> ObjectChange:
    identity = ObjectIdentity(kind="ConfigMap", namespace="shops", name=name, group="")
    return ObjectChange(
        verb="changed", identity=identity, before=before, after=after, fields=tuple(diff_fields(before, after))
    )


def release(*objects: ObjectChange, **others: Any) -> ReleaseChange:
    found = {"cluster": "west", "name": "shops/shop", "operation": "update", "charts": ("shop 1", "shop 2")}
    return ReleaseChange(**{**found, "values": (), "objects": tuple(objects), **others})


def unfenced(text: str) -> str:
    """What of a text is neither in a block of code nor in a code span."""
    kept, fence = [], ""
    for line in text.splitlines():
        run = re.match(r"(`{3,})(\w*)$", line)
        if fence:
            if line == fence:
                fence = ""
        elif run:
            fence = run[1]
        else:
            kept.append(line)
    assert not fence, "a block of code is open at the end"
    spanless = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "CODE", "\n".join(kept))
    # Of HTML's own code, Markdown leaves alone what is in it.
    return re.sub(r"<code>[^<]*</code>", "CODE", spanless)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    hostile = change({"a": "fine", text: "x"}, {"a": text, "b": [text]}, name=text)
    found = replace(
        report(warnings=(text,)),
        stack=text,
        clusters={text: text},
        releases=(release(hostile, cluster=text, name=text, charts=(text, text), failure=text, from_state=text),),
    )

    for shown in (
        markdown.render_review(found),
        markdown.render_comment(found, 3000),
        markdown.render_failure(text, text),
    ):
        outside = unfenced(shown)
        for sign in ("<script", "<img", "](http", "@somebody", "<!--", "pwned", "| cell"):
            assert sign not in outside, outside
        assert not re.search("[\u202e\u2066\u200b\x1b\x07\r]", shown)
        assert outside.count("<details>") == outside.count("</details>")


def test_a_bar_does_not_end_a_cell() -> None:
    assert markdown_escape.code_span("a|b", cell=True) == "`a\\|b`"


def test_a_long_line_is_cut_and_says_by_how_much() -> None:
    shown = markdown_escape.to_line("x" * 1000)

    assert len(shown) < 300
    assert shown.endswith("(760 more characters)")


def test_what_a_policy_wants_is_told_to_its_end() -> None:
    finding = PolicyFinding(mandatory=True, text=f"west-shop: {'x' * 400}: set it")

    assert "set it`" in markdown.render_review(report(findings=(finding,)))


def test_a_comment_is_never_longer_than_it_may_be_and_counts_what_it_leaves_out() -> None:
    objects = [change({"text": "a\n" * 50}, {"text": f"{number}\n" * 50}, f"map-{number}") for number in range(500)]
    found = replace(report(), releases=(release(*objects),))

    short, full = markdown.render_comment(found), markdown.render_review(found)

    assert len(short.encode()) <= 65_536 < len(full)
    told = re.search(r"_(\d+) parts are left out", short)
    assert told
    assert short.count("(left out)") == int(told[1])
    assert short.count("<details>") + short.count("(left out)") == full.count("<details>")


def test_even_when_nothing_may_be_left_out_it_fits() -> None:
    losses = [
        previews.preview_step("delete", "kubernetes:core/v1:Namespace", f"ns-{n}", _namespace(n)) for n in range(600)
    ]
    found = report(*compare_resources(previews.build_preview(*losses), {}, ()))

    for limit in (500, 5_000):
        assert len(markdown.render_comment(found, limit).encode()) <= limit
    assert "600 to delete" in markdown.render_comment(found, 500)


def test_the_least_important_goes_first() -> None:
    parts = [
        TextPart(text="head"),
        TextPart(text="a" * 50, short="(a)", rank=1),
        TextPart(text="b" * 50, short="(b)", rank=2),
    ]

    assert truncate_parts(parts, 100, "{count} out") == "head\n\n1 out\n\n" + "a" * 50 + "\n\n(b)\n"


def test_what_changes_alike_is_told_once() -> None:
    alike = [change({"version": "1"}, {"version": "2"}, f"map-{number}") for number in range(3)]

    text = markdown.render_review(replace(report(), releases=(release(*alike),)))

    assert text.count("+ version: 2") == 1
    assert "3 changed in the same way: 1 field" in text
    assert all(f"`ConfigMap shops/map-{number}`" in text for number in range(3))


def test_a_preview_that_failed_says_why() -> None:
    text = markdown.render_failure("dev", "clusters.west: no connection can be made\nlinks[0]: unknown")

    assert text.startswith("## `dev`: the preview failed")
    assert "links[0]: unknown" in text


def _namespace(number: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"namespace-{number}"}}
