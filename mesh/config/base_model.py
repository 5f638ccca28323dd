"""What every part of the stack file's definition is: a strict mapping, and the short forms that may stand for one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

# Values of a chart.
Values = dict[str, Any]


class StrictModel(BaseModel):
    """A mapping of the stack file; a key that it doesn't know is a fault."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, use_attribute_docstrings=True
    )


class Shorthand:
    """Beside a field: what may stand in place of its mapping, in words for who writes something else.

    Args:
        words: what it is.
        example: how it is written; left out, without quotes.
    """

    def __init__(self, words: str, example: str | None = None) -> None:
        self.words = words
        self.example = example or f"{words} without quotes"


def shorthand(key: str, kind: type, schema: Any, words: str) -> tuple[Any, ...]:
    """Let one value stand for a mapping with nothing but that key.

    Args:
        key: the key.
        kind: the type of the value.
        schema: the type of all that may stand there.
        words: what the value is, for who writes something else.
    """

    def spelt(value: Any) -> Any:
        return {key: value} if isinstance(value, kind) else value

    return BeforeValidator(spelt, json_schema_input_type=schema), Shorthand(words)


def allow_null(schema: Any) -> BeforeValidator:
    """Let nothing at all stand for a mapping with all its defaults."""
    return BeforeValidator(lambda value: {} if value is None else value, json_schema_input_type=schema)


def switch_shorthand(schema: Any) -> tuple[Any, ...]:
    """Let `true` stand for a mapping with all its defaults, and `false` for none."""
    return BeforeValidator(_expand_shorthand, json_schema_input_type=bool | schema), Shorthand("true or false")


def false_shorthand(schema: Any) -> tuple[Any, ...]:
    """Let `false` stand for none."""
    spelt = BeforeValidator(
        lambda value: None if value is False else value, json_schema_input_type=Literal[False] | schema
    )
    return spelt, Shorthand("false")


def clusters_shorthand(schema: Any) -> tuple[Any, ...]:
    """Let a list of clusters stand for a mapping with nothing but them, and `true` for one with all its defaults."""

    def spelt(value: Any) -> Any:
        return {"clusters": value} if isinstance(value, list) else _expand_shorthand(value)

    may_stand = Shorthand(
        "true, false, a list of clusters", "true or false without quotes, a list such as [west, east]"
    )
    return BeforeValidator(spelt, json_schema_input_type=bool | list[str] | schema), may_stand


def _expand_shorthand(value: Any) -> Any:
    return {} if value is True else None if value is False else value
