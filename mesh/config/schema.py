"""JSON Schema of stack files for editors, generated from the models."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from mesh.config.base_model import StrictModel
from mesh.config.models.stack_file import StackFile

# The first line of a stack file refers to this path.
SCHEMA_FILE = "stack.schema.json"
PREFIX = "multicluster-mesh:"

# Editors would show these keywords of Pydantic with every field.
_NOISE = ("title", "default")


def build_schema() -> dict[str, Any]:
    """Return the schema of a whole `Pulumi.<stack>.yaml`, with Pulumi's own keys.

    The schema uses draft 7, which all editors support.
    """
    config = StackFile.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    _add_descriptions(config, StackFile)
    for model in _list_models(StrictModel):
        if model.__name__ in config["$defs"]:
            _add_descriptions(config["$defs"][model.__name__], model)
    definitions = {name: _simplify(definition) for name, definition in config.pop("$defs").items()}
    properties = {f"{PREFIX}{key}": _or_null(_simplify(value)) for key, value in config["properties"].items()}
    # Pulumi adds a missing prefix. Editors need not offer both forms.
    unprefixed = {f"^{key}$": {"$ref": f"#/properties/config/properties/{PREFIX}{key}"} for key in config["properties"]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Stack file of multicluster-mesh",
        "type": "object",
        "properties": {
            "encryptionsalt": {
                "type": "string",
                "description": "Salt of the passphrase that encrypts secrets. Pulumi writes it.",
            },
            "encryptedkey": {
                "type": "string",
                "description": "Data key, encrypted with a cloud's key. Pulumi writes it.",
            },
            "secretsprovider": {
                "type": "string",
                "description": "Secrets provider that encrypts secrets. Pulumi writes it.",
            },
            "environment": {"description": "Pulumi ESC environments."},
            "config": {
                "type": ["object", "null"],
                "description": "The settings, each key with the prefix `multicluster-mesh:`.",
                "properties": properties,
                # Keys of other projects are allowed. Unknown keys of this project are not.
                "patternProperties": {**unprefixed, f"^(?!{PREFIX})[^:]*:": True},
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
        "definitions": definitions,
    }


def render_schema() -> str:
    """Return the content of the schema file."""
    return json.dumps(build_schema(), indent=2, ensure_ascii=False) + "\n"


def _list_models(base: type[StrictModel]) -> Iterator[type[StrictModel]]:
    """Yield all models that inherit from a model."""
    for model in base.__subclasses__():
        yield model
        yield from _list_models(model)


def _add_descriptions(node: dict[str, Any], model: type[StrictModel]) -> None:
    """Describe each field in the schema of a model by its docstring.

    Args:
        node: schema of the model; is changed.
        model: the model.
    """
    # A field that a model declares again has the docstring of the model.
    for base in reversed(model.__mro__):
        if issubclass(base, StrictModel):
            for name, docstring in _read_docstrings(base):
                alias = model.model_fields[name].alias or name
                described = {**node["properties"][alias], "description": docstring}
                # Pydantic sorts the keys too.
                node["properties"][alias] = dict(sorted(described.items()))


def _read_docstrings(model: type[StrictModel]) -> Iterator[tuple[str, str]]:
    """Yield name and docstring of each field that a model's own class statement describes."""
    statement = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(statement, ast.ClassDef), "the source of a class is a class statement"
    for field, docstring in pairwise(statement.body):
        match field, docstring:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)


def _simplify(node: Any) -> Any:
    """Return a part of the schema without keywords that clutter the hints of an editor."""
    if isinstance(node, list):
        return [_simplify(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _simplify(value) for key, value in node.items() if key not in _NOISE}
    if "properties" in node:
        # Keys here are names of settings, so `title` and `default` are no keywords.
        plain["properties"] = {key: _simplify(value) for key, value in node["properties"].items()}
    if isinstance(node.get("default"), str | int | float) and "$ref" not in node:
        plain["default"] = node["default"]
    if "patternProperties" in plain:
        # The pattern describes the names completely.
        plain.pop("propertyNames", None)
        plain["additionalProperties"] = False
    if "enum" in plain.get("propertyNames", {}):
        # Editors complete only listed keys.
        plain["properties"] = dict.fromkeys(plain.pop("propertyNames")["enum"], plain.pop("additionalProperties"))
        plain["additionalProperties"] = False
    choices = plain.get("anyOf", [])
    if len(choices) == 2 and choices[1] == {"type": "null"} and isinstance(choices[0].get("type"), str):
        del plain["anyOf"]
        plain = {**choices[0], **plain, "type": [choices[0]["type"], "null"]}
        if "enum" in plain:
            plain["enum"] = [*plain["enum"], None]
    return plain


def _or_null(node: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the schema that also accepts null: the value of a key whose entries are all comments."""
    if isinstance(node.get("type"), str):
        return {**node, "type": [node["type"], "null"]}
    if isinstance(node.get("type"), list):
        return node
    choices = node.pop("anyOf", None) or [{"$ref": node.pop("$ref")}]
    return {**node, "anyOf": choices if {"type": "null"} in choices else [*choices, {"type": "null"}]}
