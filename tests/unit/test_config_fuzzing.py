"""Settings: whatever a stack file says, it is either settings or a list of faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mesh import config as settings
from mesh.config import schema
from mesh.config.schema_lookup import TOP_LEVEL_KEYS
from tests.helpers.config_fixtures import SOUTH
from tests.helpers.fuzz_strategies import (
    DEFINITIONS,
    SCHEMA,
    keys,
    nested,
    nonsense,
    quickly,
    scalars,
    secret_keys,
    texts_of_all_kinds,
    top,
)
from tests.helpers.stack_files import CORPUS, Environment, cached, decoded, handed_over, judged

pytestmark = pytest.mark.thorough


def shaped(node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """What has the form that a part of the schema asks for; most of it, that is."""
    if "$ref" in node:
        return shaped(DEFINITIONS[node["$ref"].rpartition("/")[2]])
    if "anyOf" in node:
        return st.one_of(*map(shaped, node["anyOf"]))
    if "enum" in node:
        return st.sampled_from(node["enum"])
    kinds = node.get("type", [])
    return st.one_of(*(of_kind(kind, node) for kind in ([kinds] if isinstance(kinds, str) else kinds)))


def of_kind(kind: str, node: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    match kind:
        case "object" if "properties" in node:
            parts = {key: mostly(shaped(value)) for key, value in node["properties"].items()}
            return st.fixed_dictionaries({}, optional=parts)
        case "object":
            patterns = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
            inner = shaped(patterns[0]) if isinstance(patterns[0], dict) else nonsense
            return st.dictionaries(st.sampled_from(["west", "east", "a-to-b", "a.b/c"]), mostly(inner), max_size=3)
        case "array":
            return st.lists(mostly(shaped(node["items"])), max_size=3)
        case "integer":
            return st.sampled_from([1, 443, 8760]) | st.integers()
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return texts_of_all_kinds


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, nonsense)


OURS = SCHEMA["properties"]["config"]["properties"]
stack_files = st.fixed_dictionaries(
    {"clusters": shaped(OURS[f"{schema.PREFIX}clusters"])},
    optional={key: shaped(OURS[f"{schema.PREFIX}{key}"]) for key in TOP_LEVEL_KEYS if key != "clusters"},
)


@given(config=stack_files, secret=secret_keys)
@quickly
def test_anything_of_the_right_form_is_either_settings_or_a_list_of_faults(
    config: dict[str, Any], secret: list[str], small: Environment
) -> None:
    judged(config, [*secret, *settings.SECRET_KEYS], small)


@given(config=st.dictionaries(top, nonsense, max_size=5), secret=secret_keys)
@quickly
def test_nonsense_is_either_settings_or_a_list_of_faults(
    config: dict[str, Any], secret: list[str], small: Environment
) -> None:
    judged(config, secret, small)


@given(data=st.data())
@quickly
def test_a_valid_file_with_a_slip_in_it_is_either_settings_or_a_list_of_faults(
    data: st.DataObject, small: Environment, texts: dict[str, str]
) -> None:
    file = data.draw(st.sampled_from(sorted(CORPUS.glob("valid-*.yaml"))))
    encoded, secret = handed_over(cached(file), texts)
    prefix = f"{settings.PROJECT}:"
    config = {key.removeprefix(prefix): decoded(value) for key, value in encoded.items() if key.startswith(prefix)}
    for _ in range(data.draw(st.integers(1, 3))):
        spoil(config, data)

    judged(config, [key.removeprefix(prefix) for key in secret], small)


def spoil(config: dict[str, Any], data: st.DataObject) -> None:
    """Drop, rename, repeat or replace something in it."""
    here: Any = config
    while True:
        places = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not places:
            return
        place = data.draw(st.sampled_from(places))
        if not isinstance(here[place], dict | list) or not data.draw(st.booleans()):
            break
        here = here[place]
    match data.draw(st.sampled_from(["drop", "rename", "repeat", "replace"])):
        case "drop":
            del here[place]
        case "rename" if isinstance(here, dict):
            here[data.draw(keys)] = here.pop(place)
        case "repeat" if isinstance(here, list):
            here.append(here[place])
        case _:
            here[place] = data.draw(nonsense)


@given(
    key=top, value=st.text() | st.sampled_from(["[" * 2000, '{"a":' * 2000, "9" * 5000, "NaN", "1e999", '"\\ud800"'])
)
@quickly
def test_any_text_can_be_the_value_of_a_key(key: str, value: str, small: Environment) -> None:
    judged({"clusters": {"west": {}}, key: value}, [], small)


@given(text=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | nested(scalars).map(yaml.safe_dump))
@quickly
def test_any_text_as_a_kubeconfig_is_either_read_or_a_fault(text: str, small: Environment) -> None:
    judged({"clusters": {"west": {}}, "kubeconfigs": {"west": text}}, ["kubeconfigs"], small)


@given(entry=st.sampled_from(["clusters", "contexts", "users", "current-context"]), value=nonsense)
@quickly
def test_any_entry_of_a_kubeconfig_is_either_read_or_a_fault(entry: str, value: Any, small: Environment) -> None:
    spoilt = yaml.safe_load(SOUTH) | {entry: value}

    judged({"clusters": {"west": {}}, "kubeconfigs": {"west": json.dumps(spoilt)}}, ["kubeconfigs"], small)
