"""Fuzzing of stack files: each one yields settings or a list of errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mesh import config
from mesh.config import schema
from mesh.config.schema_lookup import TOP_LEVEL_KEYS
from tests.helpers.config_fixtures import SOUTH_KUBECONFIG
from tests.helpers.fuzz_strategies import (
    DEFINITIONS,
    SCHEMA,
    arbitrary_texts,
    arbitrary_values,
    fuzz_settings,
    keys,
    nest,
    scalars,
    secret_keys,
    top_level_keys,
)
from tests.helpers.stack_files import (
    CORPUS,
    Environment,
    decode_json,
    error_message,
    read_stack_file_once,
    to_pulumi_config,
)

pytestmark = pytest.mark.thorough


def values_of_schema(node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for values that mostly match a part of the schema."""
    if "$ref" in node:
        return values_of_schema(DEFINITIONS[node["$ref"].rpartition("/")[2]])
    if "anyOf" in node:
        return st.one_of(*map(values_of_schema, node["anyOf"]))
    if "enum" in node:
        return st.sampled_from(node["enum"])
    types = node.get("type", [])
    return st.one_of(
        *(values_of_type(schema_type, node) for schema_type in ([types] if isinstance(types, str) else types))
    )


def values_of_type(schema_type: str, node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    match schema_type:
        case "object" if "properties" in node:
            parts = {key: mostly_valid(values_of_schema(value)) for key, value in node["properties"].items()}
            return st.fixed_dictionaries({}, optional=parts)
        case "object":
            patterns = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
            inner = values_of_schema(patterns[0]) if isinstance(patterns[0], dict) else arbitrary_values
            return st.dictionaries(
                st.sampled_from(["west", "east", "a-to-b", "a.b/c"]), mostly_valid(inner), max_size=3
            )
        case "array":
            return st.lists(mostly_valid(values_of_schema(node["items"])), max_size=3)
        case "integer":
            return st.sampled_from([1, 443, 8760]) | st.integers()
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return arbitrary_texts


def mostly_valid(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, arbitrary_values)


CONFIG_SCHEMAS = SCHEMA["properties"]["config"]["properties"]
stack_files = st.fixed_dictionaries(
    {"clusters": values_of_schema(CONFIG_SCHEMAS[f"{schema.PREFIX}clusters"])},
    optional={
        key: values_of_schema(CONFIG_SCHEMAS[f"{schema.PREFIX}{key}"]) for key in TOP_LEVEL_KEYS if key != "clusters"
    },
)


@given(stack_config=stack_files, secret=secret_keys)
@fuzz_settings
def test_stack_file_of_right_shape_loads_or_reports_errors(
    stack_config: dict[str, Any], secret: list[str], small_environment: Environment
) -> None:
    error_message(stack_config, [*secret, *config.SECRET_KEYS], small_environment)


@given(stack_config=st.dictionaries(top_level_keys, arbitrary_values, max_size=5), secret=secret_keys)
@fuzz_settings
def test_nonsense_stack_file_loads_or_reports_errors(
    stack_config: dict[str, Any], secret: list[str], small_environment: Environment
) -> None:
    error_message(stack_config, secret, small_environment)


@given(data=st.data())
@fuzz_settings
def test_mutated_stack_file_loads_or_reports_errors(
    data: st.DataObject, small_environment: Environment, corpus_texts: dict[str, str]
) -> None:
    file = data.draw(st.sampled_from(sorted(CORPUS.glob("valid-*.yaml"))))
    encoded, secret = to_pulumi_config(read_stack_file_once(file), corpus_texts)
    prefix = f"{config.PROJECT}:"
    stack_config = {
        key.removeprefix(prefix): decode_json(value) for key, value in encoded.items() if key.startswith(prefix)
    }
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(stack_config, data)

    error_message(stack_config, [key.removeprefix(prefix) for key in secret], small_environment)


def mutate(stack_config: dict[str, Any], data: st.DataObject) -> None:
    """Drop, rename, repeat or replace one random element of a stack configuration."""
    parent: Any = stack_config
    while True:
        candidates = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        if not candidates:
            return
        key = data.draw(st.sampled_from(candidates))
        if not isinstance(parent[key], dict | list) or not data.draw(st.booleans()):
            break
        parent = parent[key]
    match data.draw(st.sampled_from(["drop", "rename", "repeat", "replace"])):
        case "drop":
            del parent[key]
        case "rename" if isinstance(parent, dict):
            parent[data.draw(keys)] = parent.pop(key)
        case "repeat" if isinstance(parent, list):
            parent.append(parent[key])
        case _:
            parent[key] = data.draw(arbitrary_values)


@given(
    key=top_level_keys,
    value=st.text() | st.sampled_from(["[" * 2000, '{"a":' * 2000, "9" * 5000, "NaN", "1e999", '"\\ud800"']),
)
@fuzz_settings
def test_key_with_any_text_loads_or_reports_errors(key: str, value: str, small_environment: Environment) -> None:
    error_message({"clusters": {"west": {}}, key: value}, [], small_environment)


@given(text=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | nest(scalars).map(yaml.safe_dump))
@fuzz_settings
def test_kubeconfig_of_any_text_loads_or_reports_errors(text: str, small_environment: Environment) -> None:
    error_message({"clusters": {"west": {}}, "kubeconfigs": {"west": text}}, ["kubeconfigs"], small_environment)


@given(entry=st.sampled_from(["clusters", "contexts", "users", "current-context"]), value=arbitrary_values)
@fuzz_settings
def test_kubeconfig_with_any_entry_loads_or_reports_errors(
    entry: str, value: Any, small_environment: Environment
) -> None:
    mutated = yaml.safe_load(SOUTH_KUBECONFIG) | {entry: value}

    error_message(
        {"clusters": {"west": {}}, "kubeconfigs": {"west": json.dumps(mutated)}}, ["kubeconfigs"], small_environment
    )
