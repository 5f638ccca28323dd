"""Lines of a review for each changed field."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET
from review.diff import diff_fields


def lines(before: Any, after: Any) -> list[str]:
    return [line for field in diff_fields(before, after) for line in field.lines]


def test_equal_values_have_no_differences() -> None:
    assert diff_fields({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"replicas": 1}, {"replicas": 3}, ["- replicas: 1", "+ replicas: 3"]),
        ({}, {"a": {"b": {"c": True}}}, ["+ a.b.c: true"]),
        ({"a": {"b": 1}}, {"a": {}}, ["- a.b: 1"]),
        ({"a": 1}, {"a": None}, ["- a: 1", "+ a: null"]),
        ({"a": None}, {"a": {"b": 1}}, ["+ a.b: 1"]),
        ({"a": ""}, {"a": {}}, ['- a: ""', "+ a: {}"]),
        ({"x.io/a-b": "1"}, {"x.io/a-b": "2"}, ['- ["x.io/a-b"]: 1', '+ ["x.io/a-b"]: 2']),
        ({"verbs": ["get"]}, {"verbs": ["get", "list"]}, ["- verbs: [get]", "+ verbs: [get, list]"]),
        ({"spec": 1}, {"spec": UNKNOWN_VALUE}, ["- spec: 1", "+ spec: (known only after the update)"]),
        ({"a": SECRET}, {}, ["- a: [secret]"]),
    ],
)
def test_changed_field_is_shown_with_path(before: Any, after: Any, expected: list[str]) -> None:
    assert lines(before, after) == expected


def test_named_list_entries_are_matched_by_name() -> None:
    before = [{"name": "web", "image": "a:1"}, {"name": "proxy", "image": "p:1"}]
    after = [{"name": "init", "image": "i:1"}, {"name": "web", "image": "a:2"}, {"name": "proxy", "image": "p:1"}]

    assert lines({"containers": before}, {"containers": after}) == [
        "- containers[web].image: a:1",
        "+ containers[web].image: a:2",
        "+ containers[init].image: i:1",
        "+ containers[init].name: init",
    ]


def test_changed_order_alone_is_shown() -> None:
    one, other = {"name": "A", "value": "1"}, {"name": "B", "value": "2"}

    assert lines({"env": [one, other]}, {"env": [other, one]}) == ["- env (order): [A, B]", "+ env (order): [B, A]"]


def test_long_text_shows_changed_lines_with_one_context_line() -> None:
    before = "\n".join(f"line {number}" for number in range(100))
    after = before.replace("line 50\n", "line fifty\n")

    assert lines({"text": before}, {"text": after}) == [
        "! text:",
        " line 49",
        "-line 50",
        "+line fifty",
        " line 51",
    ]


def test_long_list_shows_only_added_and_removed_entries() -> None:
    before = [f"kind-{number}" for number in range(20)]

    assert lines({"resources": before}, {"resources": [*before[1:], "new"]}) == [
        "- resources: [kind-0]",
        "+ resources: [new]",
    ]
    assert len(lines({"resources": before}, {"resources": before[::-1]})) == 2, "another order"


def test_inserted_list_entry_leaves_others_unchanged() -> None:
    one, two, three = ({"apiGroups": [group], "verbs": ["get"]} for group in ("a", "b", "c"))

    assert lines({"rules": [one, three]}, {"rules": [one, two, three]}) == [
        "+ rules[1].apiGroups: [b]",
        "+ rules[1].verbs: [get]",
    ]
