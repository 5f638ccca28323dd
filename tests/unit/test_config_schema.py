"""JSON Schema with which editors complete and check stack files.

The schema must accept and reject the same files as the program.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from mesh.config import schema
from mesh.paths import PROJECT_ROOT
from tests.helpers.stack_files import CORPUS, read_expectations, read_stack_file

SCHEMA = schema.build_schema()
EDITOR_VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

# Errors that an editor can detect too. Other errors come from cross-field validation.
SYNTAX_ERRORS = (
    "unknown key",
    "must be text",
    "must be a list",
    "must be a mapping",
    "must be a number",
    "must be a whole number",
    "must be true",
    "missing; add it",
    "not one of true",
    "not one of full-mesh",
    "not one of both",
    "not one of Equal",
    "not one of linkerd-",
    "not one of all-",
    "less than 1;",
    "more than 300;",
    "not a valid cluster name",
)


def has_syntax_error(file: Path) -> bool:
    return any(rule in line for line in read_expectations(file) for rule in SYNTAX_ERRORS)


def stack_file(key: str, value: Any) -> dict[str, Any]:
    return {"config": {f"multicluster-mesh:{key}": value}}


def test_schema_file_is_up_to_date() -> None:
    assert (PROJECT_ROOT / schema.SCHEMA_FILE).read_text() == schema.render_schema(), "run `make schema`"


def test_editor_settings_and_stack_files_refer_to_schema() -> None:
    schemas = json.loads((PROJECT_ROOT / ".vscode" / "settings.json").read_text())["yaml.schemas"]

    assert schemas == {f"./{schema.SCHEMA_FILE}": "Pulumi.*.yaml"}
    for file in PROJECT_ROOT.glob("Pulumi.*.yaml"):
        assert file.read_text().splitlines()[0] == f"# yaml-language-server: $schema=./{schema.SCHEMA_FILE}", file.name


def test_schema_is_valid_json_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "file",
    [*sorted(PROJECT_ROOT.glob("Pulumi.*.yaml")), *sorted(CORPUS.glob("valid-*.yaml"))],
    ids=lambda file: file.stem,
)
def test_editor_accepts_valid_stack_file(file: Path) -> None:
    assert [error.message for error in EDITOR_VALIDATOR.iter_errors(read_stack_file(file))] == []


@pytest.mark.parametrize(
    "file",
    [file for file in sorted(CORPUS.glob("invalid-*.yaml")) if has_syntax_error(file)],
    ids=lambda file: file.stem,
)
def test_editor_rejects_syntax_error(file: Path) -> None:
    assert not EDITOR_VALIDATOR.is_valid(read_stack_file(file))


def test_corpus_has_many_syntax_errors() -> None:
    assert sum(has_syntax_error(file) for file in CORPUS.glob("invalid-*.yaml")) >= 60


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
def test_editor_accepts_every_shorthand(key: str, value: Any) -> None:
    assert EDITOR_VALIDATOR.is_valid(stack_file(key, value))


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
def test_editor_rejects_plaintext_and_misplaced_secrets(key: str, value: Any) -> None:
    assert not EDITOR_VALIDATOR.is_valid(stack_file(key, value))


def test_key_without_project_prefix_is_checked() -> None:
    assert EDITOR_VALIDATOR.is_valid({"config": {"clusters": {"west": {}}, "aws:region": "eu-west-1"}})
    assert not EDITOR_VALIDATOR.is_valid({"config": {"clusters": {"west": {"contxt": "x"}}}})
    assert not EDITOR_VALIDATOR.is_valid({"config": {"clutsers": {}}})


def test_every_key_has_description() -> None:
    assert [
        path
        for path, node in iterate_schemas(SCHEMA)
        if path[-2:-1] == ("properties",) and not has_description(path, node)
    ] == []


def test_description_of_own_class_replaces_inherited_one() -> None:
    properties = SCHEMA["definitions"]["PodinfoConfig"]["properties"]

    assert properties["clusters"]["description"] == "Clusters that run the sample; omitted: all clusters."


def test_nested_schemas_have_no_title() -> None:
    assert [path for path, node in iterate_schemas(SCHEMA) if "title" in node and path] == []


def has_description(path: tuple[str, ...], node: dict[str, Any]) -> bool:
    # Values of a chart are described by the chart's name, and references by their target.
    has_reference = "$ref" in node or any("$ref" in choice for choice in node.get("anyOf", []))
    return (
        "description" in node
        or has_reference
        or path[-3:-2] in (("values",), ("repositories",))
        or path[-1] == "secure"
    )


def iterate_schemas(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from iterate_schemas(value, (*path, key))
    elif isinstance(node, list):
        for value in node:
            yield from iterate_schemas(value, (*path, "*"))
