"""The JSON Schema of stack files, by which editors complete and check them; made from the definition itself."""

from __future__ import annotations

import json
from typing import Any

from mesh.config.models.stack_file import StackFile

# Where it is kept; the first line of a stack file points there.
SCHEMA_FILE = "stack.schema.json"
PREFIX = "multicluster-mesh:"

# Pydantic says these of every field; an editor would show them with each.
_NOISE = ("title", "default")


def stack_file_schema() -> dict[str, Any]:
    """The schema of a whole `Pulumi.<stack>.yaml`, with Pulumi's own keys.

    It is one of draft 7, which all editors understand.
    """
    config = StackFile.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = {name: _plain(definition) for name, definition in config.pop("$defs").items()}
    ours = {f"{PREFIX}{key}": _or_null(_plain(value)) for key, value in config["properties"].items()}
    # Pulumi adds the prefix where there is none; completion need not offer both.
    short = {f"^{key}$": {"$ref": f"#/properties/config/properties/{PREFIX}{key}"} for key in config["properties"]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A stack file of multicluster-mesh",
        "type": "object",
        "properties": {
            "encryptionsalt": {"type": "string", "description": "Pulumi's, for secrets under a passphrase."},
            "encryptedkey": {"type": "string", "description": "Pulumi's, for secrets under a cloud's key."},
            "secretsprovider": {"type": "string", "description": "Pulumi's: what encrypts secrets."},
            "environment": {"description": "Pulumi ESC environments."},
            "config": {
                "type": ["object", "null"],
                "description": "The settings, each with `multicluster-mesh:` before it.",
                "properties": ours,
                # Other namespaces are other people's business; a key of ours that isn't known is a mistake.
                "patternProperties": {**short, f"^(?!{PREFIX})[^:]*:": True},
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
        "definitions": definitions,
    }


def schema_text() -> str:
    """The schema as it is kept in its file."""
    return json.dumps(stack_file_schema(), indent=2, ensure_ascii=False) + "\n"


def _plain(node: Any) -> Any:
    """A part of the schema without what only gets in the way of a person who reads an editor's hints."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _plain(value) for key, value in node.items() if key not in _NOISE}
    if "properties" in node:
        # These are names of keys, whatever they are called.
        found["properties"] = {key: _plain(value) for key, value in node["properties"].items()}
    if isinstance(node.get("default"), str | int) and "$ref" not in node:
        found["default"] = node["default"]
    if "patternProperties" in found:
        # The pattern is all there is to a name.
        found.pop("propertyNames", None)
        found["additionalProperties"] = False
    if "enum" in found.get("propertyNames", {}):
        # Editors complete keys that are listed.
        found["properties"] = dict.fromkeys(found.pop("propertyNames")["enum"], found.pop("additionalProperties"))
        found["additionalProperties"] = False
    choices = found.get("anyOf", [])
    if len(choices) == 2 and choices[1] == {"type": "null"} and isinstance(choices[0].get("type"), str):
        del found["anyOf"]
        found = {**choices[0], **found, "type": [choices[0]["type"], "null"]}
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    return found


def _or_null(node: dict[str, Any]) -> dict[str, Any]:
    """What a key with nothing after its colon may have as well, because all below it is a comment."""
    if isinstance(node.get("type"), str):
        return {**node, "type": [node["type"], "null"]}
    if isinstance(node.get("type"), list):
        return node
    choices = node.pop("anyOf", None) or [{"$ref": node.pop("$ref")}]
    return {**node, "anyOf": choices if {"type": "null"} in choices else [*choices, {"type": "null"}]}
