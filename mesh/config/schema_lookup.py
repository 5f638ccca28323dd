"""Lookup of keys and metadata in the model of the stack file, for error messages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mesh.config.errors import Path
from mesh.config.models.stack_file import StackFile

# Matches every entry of a list or mapping in a path.
ANY_KEY = "*"


@cache
def list_key_paths() -> tuple[Path, ...]:
    """Return the paths of all keys of the model."""
    return tuple(_key_paths(StackFile, ()))


def _key_paths(kind: Any, path: Path) -> Iterator[Path]:
    kind = _unwrap_optional(kind)
    if get_origin(kind) is list:
        yield from _key_paths(get_args(kind)[0], (*path, ANY_KEY))
    elif get_origin(kind) is dict:
        yield from _key_paths(get_args(kind)[1], (*path, ANY_KEY))
    elif _is_model(kind):
        for key, field in _fields(kind).items():
            yield (*path, key)
            yield from _key_paths(field.annotation, (*path, key))


def list_keys(path: Path) -> list[str]:
    """Return the keys that the mapping at a path accepts."""
    kind = _unwrap_optional(_type_at(path))
    return list(_fields(kind)) if _is_model(kind) else []


def _type_at(path: Path) -> Any:
    """Return the type at a path."""
    kind: Any = StackFile
    for part in path:
        kind = _unwrap_optional(kind)
        if get_origin(kind) in (dict, list):
            kind = get_args(kind)[-1]
        elif _is_model(kind):
            field = _fields(kind).get(str(part))
            kind = field.annotation if field is not None else None
    return kind


def find_field_metadata(path: Path) -> list[Any]:
    """Return the metadata of the field at a path."""
    kind = _unwrap_optional(_type_at(path[:-1]))
    field = _fields(kind).get(str(path[-1])) if path and _is_model(kind) else None
    return field.metadata if field is not None else []


def _fields(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in kind.model_fields.items()}


# The keys that a stack file accepts.
TOP_LEVEL_KEYS = tuple(_fields(StackFile))


def _unwrap_optional(kind: Any) -> Any:
    """Return `kind` for `Annotated[kind, …]` and `kind | None`."""
    if get_origin(kind) is Annotated:
        return _unwrap_optional(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _unwrap_optional(get_args(kind)[0])
    return kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
