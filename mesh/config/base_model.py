"""Base model of the stack file's parts, and shorthands that stand for a mapping."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

# Values of a Helm chart.
Values = dict[str, Any]


class StrictModel(BaseModel):
    """Mapping of the stack file that rejects unknown keys."""

    # Without `use_attribute_docstrings`, which parses the models' source code at each start of the program. The schema
    # reads the descriptions itself (`mesh.config.schema`).
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class Shorthand:
    """Metadata of a field: the values accepted in place of its mapping, for error messages.

    Args:
        words: the accepted values, such as `true or false`.
        example: how to write such a value; default: the words, with "without quotes".
    """

    def __init__(self, words: str, example: str | None = None) -> None:
        self.words = words
        self.example = example or f"{words} without quotes"


def accept_shorthand(key: str, kind: type | UnionType, schema: Any, words: str) -> tuple[Any, ...]:
    """Return metadata that lets one value stand for a mapping with one key.

    Args:
        key: the key.
        kind: the type of the value.
        schema: the type of the shorthand or the mapping, for the JSON Schema.
        words: the accepted values, for error messages.
    """

    def expand(value: Any) -> Any:
        return {key: value} if isinstance(value, kind) else value

    return BeforeValidator(expand, json_schema_input_type=schema), Shorthand(words)


def allow_null(schema: Any) -> BeforeValidator:
    """Return a validator that lets an empty value stand for a mapping with all defaults."""
    return BeforeValidator(lambda value: {} if value is None else value, json_schema_input_type=schema)


def accept_switch(schema: Any) -> tuple[Any, ...]:
    """Return metadata that lets `true` stand for a mapping with all defaults, and `false` for none."""
    return BeforeValidator(_expand_switch, json_schema_input_type=bool | schema), Shorthand("true or false")


def accept_false(schema: Any) -> tuple[Any, ...]:
    """Return metadata that lets `false` stand for none."""
    validator = BeforeValidator(
        lambda value: None if value is False else value, json_schema_input_type=Literal[False] | schema
    )
    return validator, Shorthand("false")


def accept_clusters(schema: Any) -> tuple[Any, ...]:
    """Return metadata that lets a list of clusters, `true` or `false` stand for a mapping with `clusters`."""

    def expand(value: Any) -> Any:
        return {"clusters": value} if isinstance(value, list) else _expand_switch(value)

    accepted = Shorthand("true, false, a list of clusters", "true or false without quotes, a list such as [west, east]")
    return BeforeValidator(expand, json_schema_input_type=bool | list[str] | schema), accepted


def _expand_switch(value: Any) -> Any:
    return {} if value is True else None if value is False else value
