"""The definition of the stack file, asked for what may stand where: for messages about what may not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mesh.config.errors import Path
from mesh.config.models.stack_file import StackFile

# Stands for every entry, in a path.
ANY_KEY = "*"


@cache
def all_key_paths() -> tuple[Path, ...]:
    """The paths of all keys of the definition."""
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


def keys_at(path: Path) -> list[str]:
    """The keys that the mapping at a path may have."""
    kind = _unwrap_optional(_kind(path))
    return list(_fields(kind)) if _is_model(kind) else []


def _kind(path: Path) -> Any:
    """The type of what is at a path."""
    kind: Any = StackFile
    for part in path:
        kind = _unwrap_optional(kind)
        if get_origin(kind) in (dict, list):
            kind = get_args(kind)[-1]
        elif _is_model(kind):
            field = _fields(kind).get(str(part))
            kind = field.annotation if field is not None else None
    return kind


def field_metadata(path: Path) -> list[Any]:
    """What stands beside the type of the field at a path."""
    kind = _unwrap_optional(_kind(path[:-1]))
    field = _fields(kind).get(str(path[-1])) if path and _is_model(kind) else None
    return field.metadata if field is not None else []


def _fields(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in kind.model_fields.items()}


# The keys that a stack file may have.
TOP_LEVEL_KEYS = tuple(_fields(StackFile))


def _unwrap_optional(kind: Any) -> Any:
    """What `Annotated[kind, …]` and `kind | None` are about."""
    if get_origin(kind) is Annotated:
        return _unwrap_optional(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _unwrap_optional(get_args(kind)[0])
    return kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
