"""Language of the project: the rules that a tool can hold."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from mesh.paths import PROJECT_ROOT
from tests.helpers import prose

CLASS = re.compile(r"^\s*class (\w+)", re.MULTILINE)
# Packages that run in one process: the program, and each tool with what it imports.
PROCESSES = {
    "program": ("components/", "mesh/"),
    "review": ("review/", "policy/", "mesh/"),
    "make": ("hack/", "mesh/"),
    "benchmarks": ("benchmarks/", "hack/make/", "hack/lab/", "mesh/"),
    "tests": ("tests/", "policy/", "review/"),
}


def test_code_and_docs_use_standard_terms() -> None:
    violations = prose.check(prose.checked_files())

    assert violations == [], "\n".join(map(str, violations))


@pytest.mark.parametrize(
    "text",
    [
        "# Whose object is this.\n",
        "# A record is made anew.\n",
        "def told() -> None: ...\n",
        '"""A program.\n\nThe first part is long. It ends here.\n"""\n',
    ],
)
def test_private_term_is_reported(text: str) -> None:
    assert list(prose.check_python("example.py", text))


@pytest.mark.parametrize(
    "text", ["key: value # west sees the services\n", "# Of a cluster\n", "{{- /* The chart knows it. */}}\n"]
)
def test_private_term_in_comment_of_other_files_is_reported(text: str) -> None:
    assert list(prose.check_comments("example.yaml", text))


@pytest.mark.parametrize(
    "text",
    [
        "## What can go wrong",
        "The program starts.\nIt reads a file.",
        "- One entry. That is all.",
        "| a | Where it is |",
        "**Who:** somebody",
        "1. Those are last.",
    ],
)
def test_opening_of_markdown_sentence_is_reported(text: str) -> None:
    assert list(prose.check_markdown("example.md", text))


@pytest.mark.parametrize("text", ["What is new?", "```\nIt is a command\n```", "A line that wraps\nIt-like words"])
def test_question_and_code_in_markdown_are_accepted(text: str) -> None:
    assert list(prose.check_markdown("example.md", text)) == []


def test_opening_of_comment_after_code_is_reported() -> None:
    assert list(prose.check_python("example.py", "SIZE = 1  # of the chart\n"))


@pytest.mark.parametrize("text", ["# Kubernetes deletes the object.\n", 'MESSAGE = "use `helm upgrade --made`"\n'])
def test_standard_term_is_not_reported(text: str) -> None:
    assert list(prose.check_python("example.py", text)) == []


@pytest.mark.parametrize("process", PROCESSES)
def test_no_two_classes_of_one_process_share_a_name(process: str) -> None:
    paths_by_class: dict[str, list[str]] = defaultdict(list)
    for path in prose.checked_files():
        if path.endswith(".py") and path.startswith(PROCESSES[process]):
            for name in CLASS.findall((PROJECT_ROOT / path).read_text()):
                paths_by_class[name].append(path)

    assert {name: paths for name, paths in paths_by_class.items() if len(paths) > 1} == {}
