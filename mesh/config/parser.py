"""A stack file read by its definition, without whatever is wrong in its form, so that the rest can be judged too."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mesh.config.base_model import Shorthand
from mesh.config.errors import ELLIPSIS, Path, ValidationErrors, format_path, suggestion
from mesh.config.models.stack_file import StackFile
from mesh.config.schema_lookup import TOP_LEVEL_KEYS, all_key_paths, field_metadata, keys_at

_REMOVED = object()
# A stack file with more nesting than this is a mistake, and would exhaust whatever walks it.
MAX_DEPTH = 50
# Pulumi carries every number as a float; larger ones would arrive as others.
MAX_INTEGER = 2**53 - 1
# By which Pulumi's engine tells secrets, files and what is not known yet from other values.
PULUMI_SIGNATURES = ("4dabf18193072939515e22adb298388d", "04da6b54-80e4-46f7-96ec-b56ff0331ba9")

# What is said of a value of the wrong kind, by Pydantic's name for the mistake.
_KINDS: Mapping[str, tuple[str, str]] = {
    "string_type": ("a text was expected", "write it in quotes"),
    "string_unicode": ("there is something in it that isn't text", "write it anew"),
    "bool_type": ("true or false was expected", "write true or false, without quotes"),
    "int_type": ("a whole number was expected", "write digits alone, without quotes or a unit"),
    "float_type": ("a number was expected", "write digits alone, without quotes"),
    "list_type": ("a list was expected", "write each entry on a line that begins with `- `"),
    "dict_type": ("a mapping was expected", "write `key: value` on lines of their own"),
}


@dataclass(frozen=True, kw_only=True)
class ParsedStackFile:
    """A stack file without whatever is wrong in its form, so that the rest can be judged too."""

    file: StackFile
    rest: Any  # what it was read from, with _OUT in lists where an entry was taken out

    def original_indices(self, *path: str | int) -> list[int]:
        """The places that the entries of a list have in the stack file."""
        found = _value_at(self.rest, path)
        return [number for number, item in enumerate(found) if item is not _REMOVED] if isinstance(found, list) else []

    def path_as_written(self, *path: str | int) -> Path:
        """The path of a list in the stack file, where it may stand in place of the mapping that it belongs to."""
        return path[:-1] if isinstance(_value_at(self.rest, path[:-1]), list) else path


def parse_stack_file(config: Mapping[str, Any], faults: ValidationErrors) -> ParsedStackFile:
    """Read a stack file.

    Args:
        config: decoded, its keys without the project's prefix.
        faults: where faults of form go.
    """
    # A key with nothing after its colon, because all below it is a comment, is as good as none.
    known = {key: value for key, value in config.items() if value is not None or key not in TOP_LEVEL_KEYS}
    rest = _drop_unencodable(known, (), faults)
    first = True
    while True:
        try:
            return ParsedStackFile(file=StackFile.model_validate(_without_removed(rest)), rest=rest)
        except ValidationError as error:
            places = _PathTranslator(rest)
            found = [(detail, places.translated(detail["loc"])) for detail in error.errors(include_url=False)]
        for detail, location in found:
            # Only the first time: later on, what is missing is what was taken out.
            if first:
                _report_pydantic_error(detail, location, rest, faults)
        # All of them are looked up before the first goes: in what is out, nothing is found any more.
        wrong = [
            location[:-1] if detail["type"] == "missing" else _existing_path(rest, location)
            for detail, location in found
        ]
        for path in wrong:
            _remove(rest, path)
        first = False


def _drop_unencodable(value: Any, path: Path, faults: ValidationErrors) -> Any:
    """A value without what can't get to a cluster as it is written; _OUT for one that can't itself."""
    wrong = _encoding_error(value, path)
    if wrong is not None:
        # So deep down, it is only told once where that is.
        place = (*path[:3], ELLIPSIS) if len(path) > MAX_DEPTH else path
        faults.add_syntax_error(place, ELLIPSIS if len(path) > MAX_DEPTH else value, *wrong)
        return _REMOVED
    if isinstance(value, dict):
        entries = {str(key): _drop_unencodable(item, (*path, str(key)), faults) for key, item in value.items()}
        return {key: item for key, item in entries.items() if item is not _REMOVED}
    if isinstance(value, list):
        return [_drop_unencodable(item, (*path, number), faults) for number, item in enumerate(value)]
    return value


def _encoding_error(value: Any, path: Path) -> tuple[str, str] | None:
    """Why a value can't get to a cluster as it is written, and what to do about it."""
    if len(path) > MAX_DEPTH:
        return f"nested more than {MAX_DEPTH} deep", "write it flat"
    if isinstance(value, int | float) and not -MAX_INTEGER <= value <= MAX_INTEGER:
        # Numbers with a fraction are inexact as such; of those it is only what is beyond all bounds.
        exact = isinstance(value, int)
        if exact or not math.isfinite(value):
            return "a number too large to be carried", "write a smaller one, or in quotes if it is a text"
    if isinstance(value, str | dict):
        texts = [value] if isinstance(value, str) else list(map(str, value))
        if not all(map(_is_text, texts)):
            return _KINDS["string_unicode"]
        if any(mark in texts for mark in PULUMI_SIGNATURES):
            return "Pulumi would take it for a mark of its own", "write something else"
    return None


def _is_text(value: str) -> bool:
    """Whether it can be encoded: half of a pair of surrogates is no character."""
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def _without_removed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_removed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_removed(item) for item in value if item is not _REMOVED]
    return value


class _PathTranslator:
    """Finds what was at fault in a configuration without what was taken out in the one with it."""

    def __init__(self, rest: Any) -> None:
        self._rest = rest
        self._places: dict[Path, list[int]] = {}  # of a list's entries that are still there

    def translated(self, location: Path) -> Path:
        path: Path = ()
        for part in location:
            if isinstance(part, str) and isinstance(_value_at(self._rest, path), list):
                continue  # a list is short for the mapping with it under this key
            if isinstance(part, int):
                if path not in self._places:
                    here = _value_at(self._rest, path)
                    entries = here if isinstance(here, list) else []
                    self._places[path] = [number for number, item in enumerate(entries) if item is not _REMOVED]
                part = self._places[path][part]
            path = (*path, part)
        return path


def _remove(rest: Any, path: Path) -> None:
    parent = _value_at(rest, path[:-1])
    if not path:
        rest.clear()
    elif isinstance(parent, dict):
        parent.pop(path[-1], None)
    elif isinstance(parent, list):
        parent[int(path[-1])] = _REMOVED


def _report_pydantic_error(detail: ErrorDetails, location: Path, config: Any, faults: ValidationErrors) -> None:
    """One of Pydantic's errors as a fault."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        faults.add_syntax_error(location, None, "missing", "write it, or take the entry out")
        return
    path = _existing_path(config, location)
    value = path[-1] if location[-1:] == ("[key]",) and len(location) > len(path) else _value_at(config, path)
    if kind == "fault":
        rule, remedy = context["rule"], context["remedy"]
    elif kind == "extra_forbidden":
        rule, remedy = "unknown key", _unknown_key_remedy(path)
    elif kind == "model_type":
        rule, remedy = _not_a_mapping(path, value)
    elif kind == "literal_error":
        choices = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        rule, remedy = f"not one of {', '.join(choices)}", suggestion(value, choices, otherwise="choose one of them")
    elif kind == "greater_than_equal":
        rule, remedy = f"less than {_format_limit(context['ge'])}", f"write {_format_limit(context['ge'])} or more"
    elif kind == "less_than_equal":
        rule, remedy = f"more than {_format_limit(context['le'])}", f"write {_format_limit(context['le'])} or less"
    elif kind == "string_type" and (value is None or isinstance(value, dict | list)):
        rule = _KINDS[kind][0]
        remedy = "write it, or take the key out" if value is None else "write one text in its place"
    elif kind in _KINDS:
        rule, remedy = _KINDS[kind]
    else:
        rule, remedy = detail["msg"][:1].lower() + detail["msg"][1:], "see docs/settings.md"
    faults.add_syntax_error(path, value, rule, remedy)


def _format_limit(limit: float) -> float:
    """A limit as its reader would write it: 0 and not 0.0."""
    return int(limit) if limit == int(limit) else limit


def _not_a_mapping(path: Path, value: Any) -> tuple[str, str]:
    short = next((each for each in field_metadata(path) if isinstance(each, Shorthand)), None)
    if short is None:
        return "a mapping was expected", f"known keys are {', '.join(keys_at(path))}"
    remedy = f"write {short.example}, or keys among {', '.join(keys_at(path))}"
    return f"{short.words}, or a mapping, was expected", remedy


def _unknown_key_remedy(path: Path) -> str:
    """What to do about a key that isn't known where it is."""
    key, known = str(path[-1]), keys_at(path[:-1])
    if difflib.get_close_matches(key, known, n=1, cutoff=0.8):
        return suggestion(key, known)
    elsewhere = [home for home in all_key_paths() if home[-1] == key]
    # What is said highest up is about most.
    elsewhere = [home for home in elsewhere if len(home) == min(map(len, elsewhere))]
    # In a cluster it is this one that is meant.
    elsewhere = [(*path[:2], *home[2:]) if home[0] == path[0] == "clusters" else home for home in elsewhere]
    if 1 <= len(elsewhere) <= 2:
        return f"move it to {' or '.join(format_path(home) for home in elsewhere)}"
    return suggestion(key, known)


def _existing_path(config: Any, location: Path) -> Path:
    """The part of a location that the configuration has; Pydantic adds names of its own types at the end."""
    path: Path = ()
    for part in location:
        if _value_at(config, (*path, part)) is _REMOVED:
            break
        path = (*path, part)
    return path


def _value_at(config: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        inside = isinstance(config, list) and isinstance(part, int) and part < len(config)
        if not inside and not (isinstance(config, dict) and part in config):
            return _REMOVED
        config = config[part]
    return config
