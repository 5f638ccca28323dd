"""Markdown of a review: escaped, redacted and within the length limit."""

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

HOSTILE_TEXTS = [
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


def build_report(*resources: Any, **others: Any) -> Report:
    return Report(stack="dev", clusters={"west": None}, resources=tuple(resources), releases=(), **others)


def change(before: Any, after: Any, name: str = "shop") -> ObjectChange:
    identity = ObjectIdentity(kind="ConfigMap", namespace="shops", name=name, group="")
    return ObjectChange(
        verb="changed", identity=identity, before=before, after=after, fields=tuple(diff_fields(before, after))
    )


def release(*objects: ObjectChange, **others: Any) -> ReleaseChange:
    defaults = {"cluster": "west", "name": "shops/shop", "operation": "update", "charts": ("shop 1", "shop 2")}
    return ReleaseChange(**{**defaults, "values": (), "objects": tuple(objects), **others})


def remove_code(text: str) -> str:
    """Return a text without its code blocks and code spans."""
    outside_lines, fence = [], ""
    for line in text.splitlines():
        run = re.match(r"(`{3,})(\w*)$", line)
        if fence:
            if line == fence:
                fence = ""
        elif run:
            fence = run[1]
        else:
            outside_lines.append(line)
    assert not fence, "a code block is not closed"
    spanless = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "CODE", "\n".join(outside_lines))
    # Markdown does not format the content of an HTML code element.
    return re.sub(r"<code>[^<]*</code>", "CODE", spanless)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_is_escaped(text: str) -> None:
    hostile = change({"a": "fine", text: "x"}, {"a": text, "b": [text]}, name=text)
    review = replace(
        build_report(warnings=(text,)),
        stack=text,
        clusters={text: text},
        releases=(release(hostile, cluster=text, name=text, charts=(text, text), failure=text, from_state=text),),
    )

    for rendered in (
        markdown.render_review(review),
        markdown.render_comment(review, 3000),
        markdown.render_failure(text, text),
    ):
        outside = remove_code(rendered)
        for markup in ("<script", "<img", "](http", "@somebody", "<!--", "pwned", "| cell"):
            assert markup not in outside, outside
        assert not re.search("[\u202e\u2066\u200b\x1b\x07\r]", rendered)
        assert outside.count("<details>") == outside.count("</details>")


def test_vertical_bar_in_table_cell_is_escaped() -> None:
    assert markdown_escape.code_span("a|b", in_table=True) == "`a\\|b`"


def test_long_line_is_truncated_with_character_count() -> None:
    line = markdown_escape.to_line("x" * 1000)

    assert len(line) < 300
    assert line.endswith("(760 more characters)")


def test_policy_finding_is_not_truncated() -> None:
    finding = PolicyFinding(mandatory=True, text=f"west-shop: {'x' * 400}: set it")

    assert "set it`" in markdown.render_review(build_report(findings=(finding,)))


def test_comment_fits_limit_and_counts_omitted_parts() -> None:
    objects = [change({"text": "a\n" * 50}, {"text": f"{number}\n" * 50}, f"map-{number}") for number in range(500)]
    review = replace(build_report(), releases=(release(*objects),))

    short, full = markdown.render_comment(review), markdown.render_review(review)

    assert len(short.encode()) <= 65_536 < len(full)
    omitted = re.search(r"_(\d+) parts are omitted", short)
    assert omitted
    assert short.count("(omitted)") == int(omitted[1])
    assert short.count("<details>") + short.count("(omitted)") == full.count("<details>")


def test_comment_of_required_parts_fits_limit() -> None:
    losses = [
        previews.preview_step("delete", "kubernetes:core/v1:Namespace", f"ns-{n}", _namespace(n)) for n in range(600)
    ]
    review = build_report(*compare_resources(previews.build_preview(*losses), {}, ()))

    for limit in (500, 5_000):
        assert len(markdown.render_comment(review, limit).encode()) <= limit
    assert "600 to delete" in markdown.render_comment(review, 500)


def test_least_important_part_is_omitted_first() -> None:
    parts = [
        TextPart(text="head"),
        TextPart(text="a" * 50, short="(a)", rank=1),
        TextPart(text="b" * 50, short="(b)", rank=2),
    ]

    assert truncate_parts(parts, 100, "{count} out") == "head\n\n1 out\n\n" + "a" * 50 + "\n\n(b)\n"


def test_equal_changes_are_shown_once() -> None:
    equal_changes = [change({"version": "1"}, {"version": "2"}, f"map-{number}") for number in range(3)]

    text = markdown.render_review(replace(build_report(), releases=(release(*equal_changes),)))

    assert text.count("+ version: 2") == 1
    assert "3 changed in the same way: 1 field" in text
    assert all(f"`ConfigMap shops/map-{number}`" in text for number in range(3))


def test_failed_preview_shows_reason() -> None:
    text = markdown.render_failure("dev", "clusters.west: the connection failed\nlinks[0]: unknown")

    assert text.startswith("## `dev`: the preview failed")
    assert "links[0]: unknown" in text


def _namespace(number: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"namespace-{number}"}}
