"""The JSON Schema by which editors complete and check stack files: it accepts and refuses what the program does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from mesh.config import schema
from mesh.paths import PROJECT_ROOT
from tests.helpers.stack_files import CORPUS, content, expected

SCHEMA = schema.stack_file_schema()
EDITOR = jsonschema.Draft7Validator(SCHEMA)

# The rules of form, which an editor can know as well; the others are on what stands beside what.
FORM = (
    "unknown key",
    " was expected;",
    "missing; write it",
    "not one of true",
    "not one of full-mesh",
    "not one of both",
    "not one of Equal",
    "not one of linkerd-",
    "not one of all-",
    "not a text",
    "less than 1;",
    "more than 300;",
    "a cluster's name is part",
)


def of_form(file: Path) -> bool:
    return any(rule in line for line in expected(file) for rule in FORM)


def stack_file(key: str, value: Any) -> dict[str, Any]:
    return {"config": {f"multicluster-mesh:{key}": value}}


def test_the_schema_is_that_of_the_definition() -> None:
    assert (PROJECT_ROOT / schema.SCHEMA_FILE).read_text() == schema.schema_text(), "make schema"


def test_editors_find_the_schema() -> None:
    found = json.loads((PROJECT_ROOT / ".vscode" / "settings.json").read_text())["yaml.schemas"]

    assert found == {f"./{schema.SCHEMA_FILE}": "Pulumi.*.yaml"}
    for file in PROJECT_ROOT.glob("Pulumi.*.yaml"):
        assert file.read_text().splitlines()[0] == f"# yaml-language-server: $schema=./{schema.SCHEMA_FILE}", file.name


def test_the_schema_is_one_itself() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "file",
    [*sorted(PROJECT_ROOT.glob("Pulumi.*.yaml")), *sorted(CORPUS.glob("valid-*.yaml"))],
    ids=lambda file: file.stem,
)
def test_a_valid_stack_file_is_valid_in_an_editor(file: Path) -> None:
    assert [error.message for error in EDITOR.iter_errors(content(file))] == []


@pytest.mark.parametrize(
    "file", [file for file in sorted(CORPUS.glob("invalid-*.yaml")) if of_form(file)], ids=lambda file: file.stem
)
def test_a_fault_of_form_is_seen_in_an_editor(file: Path) -> None:
    assert not EDITOR.is_valid(content(file))


def test_many_faults_are_of_form() -> None:
    assert sum(of_form(file) for file in CORPUS.glob("invalid-*.yaml")) >= 60


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clusters", {"west": None}),
        ("clusters", {"west": {"gateway": False}}),
        ("clusters", {"west": {"gateway": {"loadBalancer": False}}}),
        ("clusters", {"west": {"reachable": "never"}}),
        ("topology", "full-mesh"),
        ("trust", {"certManager": True}),
        ("preflight", False),
        ("workloads", [{"podinfo": None}]),
        ("workloads", [{"booksapp": {"profile": True, "faultInjection": False}}]),
        ("extensions", {"viz": True, "jaeger": ["west"], "smi": False, "metallb": False}),
        ("extensions", {"viz": {"dashboard": True}, "ingressNginx": None}),
        ("buoyantCloud", {"west": {"secure": "v1:…"}, "east": "https://example.com/agent.yaml"}),
        ("dashboardPassword", {"secure": "v1:…"}),
        ("links", None),
    ],
)
def test_every_short_form_is_valid_in_an_editor(key: str, value: Any) -> None:
    assert EDITOR.is_valid(stack_file(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("imagePullSecret", "in clear"),
        ("dashboardPassword", "in clear"),
        ("extensions", {"viz": {"dashboard": {"user": {"secure": "v1:…"}}}}),
        ("kubeconfigs", {"west": "in clear"}),
        ("trust", {"anchor": {"certificate": "PEM", "key": "in clear"}}),
        ("trust", {"issuers": {"west": {"certificate": "PEM", "key": "in clear"}}}),
        ("clusters", {"west": {"context": {"secure": "v1:…"}}}),
        ("linkerd", {"version": {"secure": "v1:…"}}),
    ],
)
def test_an_editor_wants_secrets_where_they_belong_and_nowhere_else(key: str, value: Any) -> None:
    assert not EDITOR.is_valid(stack_file(key, value))


def test_a_key_without_the_projects_name_is_checked_as_well() -> None:
    assert EDITOR.is_valid({"config": {"clusters": {"west": {}}, "aws:region": "eu-west-1"}})
    assert not EDITOR.is_valid({"config": {"clusters": {"west": {"contxt": "x"}}}})
    assert not EDITOR.is_valid({"config": {"clutsers": {}}})


def test_every_key_is_explained() -> None:
    assert [path for path, node in nodes(SCHEMA) if path[-2:-1] == ("properties",) and not explained(path, node)] == []


def test_no_title_gets_in_the_way_of_an_explanation() -> None:
    assert [path for path, node in nodes(SCHEMA) if "title" in node and path] == []


def explained(path: tuple[str, ...], node: dict[str, Any]) -> bool:
    # The name of a chart says what its values are about, and one part explains itself wherever it is.
    refers = "$ref" in node or any("$ref" in choice for choice in node.get("anyOf", []))
    return "description" in node or refers or path[-3:-2] in (("values",), ("repositories",)) or path[-1] == "secure"


def nodes(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from nodes(value, (*path, key))
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value, (*path, "*"))
