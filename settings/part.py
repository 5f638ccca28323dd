"""What every part of the stack file's definition is: a strict mapping, and the short forms that may stand for one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

# Values of a chart.
Values = dict[str, Any]


class Part(BaseModel):
    """A mapping of the stack file; a key that it doesn't know is a fault."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, use_attribute_docstrings=True
    )


class Short:
    """Beside a field: what may stand in place of its mapping, in words for who writes something else."""

    def __init__(self, words: str) -> None:
        self.words = words


def short(key: str, kind: type, schema: Any, words: str) -> tuple[Any, ...]:
    """Let one value stand for a mapping with nothing but that key.

    Args:
        key: the key.
        kind: the type of the value.
        schema: the type of all that may stand there.
        words: what the value is, for who writes something else.
    """

    def spelt(value: Any) -> Any:
        return {key: value} if isinstance(value, kind) else value

    return BeforeValidator(spelt, json_schema_input_type=schema), Short(words)


def may_be_empty(schema: Any) -> BeforeValidator:
    """Let nothing at all stand for a mapping with all its defaults."""
    return BeforeValidator(lambda value: {} if value is None else value, json_schema_input_type=schema)


def on_or_off(schema: Any) -> tuple[Any, ...]:
    """Let `true` stand for a mapping with all its defaults, and `false` for none."""
    return BeforeValidator(_spelt_out, json_schema_input_type=bool | schema), Short("true or false")


def on_clusters(schema: Any) -> tuple[Any, ...]:
    """Let a list of clusters stand for a mapping with nothing but them, and `true` for one with all its defaults."""

    def spelt(value: Any) -> Any:
        return {"clusters": value} if isinstance(value, list) else _spelt_out(value)

    return BeforeValidator(spelt, json_schema_input_type=bool | list[str] | schema), Short("a list of clusters")


def _spelt_out(value: Any) -> Any:
    return {} if value is True else None if value is False else value
