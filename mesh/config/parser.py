"""Strict parser of stack files that removes invalid values and reports all of them.

Cross-field rules must run on a file with syntax errors too, so that one run reports every error. Pydantic returns no
model for an invalid file. So the parser removes the invalid values and validates the rest again, until the rest is
valid. Only the first round reports errors: later rounds would report values that are missing because of the removal.

Two plain phases (all syntax errors, then all cross-field errors) would need two runs for 26 invalid files of the
test corpus: see docs/decisions.md.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mesh.config.base_model import Shorthand
from mesh.config.errors import ELLIPSIS, Path, ValidationErrors, format_path, suggest
from mesh.config.models.stack_file import StackFile
from mesh.config.schema_lookup import TOP_LEVEL_KEYS, find_field_metadata, list_key_paths, list_keys
from mesh.pulumi_constants import SIGNATURE_KEY, UNKNOWN_VALUE

# Marks a removed value. In lists it keeps the original indices.
_REMOVED = object()
# Deeper nesting would exceed the recursion limit of functions that walk the file.
MAX_DEPTH = 50
# Pulumi passes numbers as floats, which cannot represent larger integers.
MAX_INTEGER = 2**53 - 1
# Pulumi's engine would interpret these texts as special values.
_PULUMI_SIGNATURES = (SIGNATURE_KEY, UNKNOWN_VALUE)

# Keys whose entries have names.
_NAMED_ENTRIES = ("clusters", "namespaces", "services")
# Rule and remedy for a value of the wrong type, by Pydantic's name of the error.
_TYPE_ERRORS: Mapping[str, tuple[str, str]] = {
    "string_type": ("must be text", "write it in quotes"),
    "string_unicode": ("contains characters that are not valid text", "write it again"),
    "bool_type": ("must be true or false", "write true or false, without quotes"),
    "int_type": ("must be a whole number", "write digits only, without quotes or a unit"),
    "float_type": ("must be a number", "write a number, without quotes"),
    "list_type": ("must be a list", "write each entry on a line that begins with `- `"),
    "dict_type": ("must be a mapping", "write each `key: value` on its own line"),
}


@dataclass(frozen=True, kw_only=True)
class ParsedStackFile:
    """A stack file without its invalid values."""

    file: StackFile
    content: Any  # the input of the model, with _REMOVED in place of invalid list entries

    def original_indices(self, *path: str | int) -> list[int]:
        """Return the indices that the valid entries of a list have in the stack file."""
        entries = _value_at(self.content, path)
        if not isinstance(entries, list):
            return []
        return [index for index, entry in enumerate(entries) if entry is not _REMOVED]

    def control_plane_namespace(self, cluster: str) -> str:
        """Return the namespace of Linkerd's control plane in a cluster."""
        config = self.file.clusters.get(cluster)
        if config is not None and "namespace" in config.linkerd.model_fields_set:
            return config.linkerd.namespace
        return self.file.linkerd.namespace

    def default_inbound_policy(self, cluster: str) -> str:
        """Return the policy of the meshed pods in a cluster whose namespaces set none."""
        config = self.file.clusters.get(cluster)
        if config is not None and "default_inbound_policy" in config.linkerd.model_fields_set:
            return config.linkerd.default_inbound_policy
        return self.file.linkerd.default_inbound_policy

    def path_as_written(self, *path: str | int) -> Path:
        """Return the path of a list in the stack file, which may be a shorthand for the mapping around the list."""
        return path[:-1] if isinstance(_value_at(self.content, path[:-1]), list) else path


def parse_stack_file(config: Mapping[str, Any], errors: ValidationErrors) -> ParsedStackFile:
    """Return a parsed stack file, without its invalid values.

    Args:
        config: the decoded configuration; its keys have no project prefix.
        errors: collects syntax errors.
    """
    # An empty key, such as one whose entries are comments, means the default.
    known = {key: value for key, value in config.items() if value is not None or key not in TOP_LEVEL_KEYS}
    content = _drop_unencodable(known, (), errors)
    is_first_round = True
    while True:
        try:
            return ParsedStackFile(file=StackFile.model_validate(_without_removed(content)), content=content)
        except ValidationError as error:
            translator = _PathTranslator(content)
            details = [(detail, translator.translate(detail["loc"])) for detail in error.errors(include_url=False)]
        for detail, location in details:
            if is_first_round:
                _report_pydantic_error(detail, location, content, errors)
        # Determine all paths before the first removal: a path inside a removed value cannot be resolved.
        invalid_paths = [
            location[:-1] if detail["type"] == "missing" else _existing_path(content, location)
            for detail, location in details
        ]
        for path in invalid_paths:
            _remove(content, path)
        is_first_round = False


def _drop_unencodable(value: Any, path: Path, errors: ValidationErrors) -> Any:
    """Return a value without the parts that cannot be passed to a cluster; _REMOVED for a value that cannot."""
    encoding_error = _encoding_error(value, path)
    if encoding_error is not None:
        if len(path) > MAX_DEPTH:
            # The beginning of the path is enough to locate the value.
            path, value = (*path[:3], ELLIPSIS), ELLIPSIS
        errors.add_syntax_error(path, value, *encoding_error)
        return _REMOVED
    if isinstance(value, dict):
        entries = {str(key): _drop_unencodable(item, (*path, str(key)), errors) for key, item in value.items()}
        return {key: item for key, item in entries.items() if item is not _REMOVED}
    if isinstance(value, list):
        return [_drop_unencodable(item, (*path, index), errors) for index, item in enumerate(value)]
    return value


def _encoding_error(value: Any, path: Path) -> tuple[str, str] | None:
    """Return rule and remedy for a value that cannot be passed to a cluster unchanged."""
    if len(path) > MAX_DEPTH:
        return f"nested more than {MAX_DEPTH} levels deep", "write it with fewer levels"
    # Fractions are inexact anyway, so large finite floats are accepted.
    is_exact = isinstance(value, int) or (isinstance(value, float) and not math.isfinite(value))
    if is_exact and not -MAX_INTEGER <= value <= MAX_INTEGER:
        return "number too large for Pulumi", "write a smaller number, or quotes if it is text"
    if isinstance(value, str | dict):
        texts = [value] if isinstance(value, str) else list(map(str, value))
        if not all(map(_is_encodable, texts)):
            return _TYPE_ERRORS["string_unicode"]
        if any(signature in texts for signature in _PULUMI_SIGNATURES):
            return "reserved by Pulumi for special values", "write another text"
    return None


def _is_encodable(text: str) -> bool:
    """Return whether a text can be encoded in UTF-8: a single surrogate cannot."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _without_removed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_removed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_removed(item) for item in value if item is not _REMOVED]
    return value


class _PathTranslator:
    """Translation of paths in the validated content into paths in the original content."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._indices: dict[Path, list[int]] = {}  # original indices of a list's remaining entries

    def translate(self, location: Path) -> Path:
        path: Path = ()
        for part in location:
            if isinstance(part, str) and isinstance(_value_at(self._content, path), list):
                continue  # the list is a shorthand for a mapping with this key
            if isinstance(part, int):
                if path not in self._indices:
                    value = _value_at(self._content, path)
                    entries = value if isinstance(value, list) else []
                    self._indices[path] = [index for index, entry in enumerate(entries) if entry is not _REMOVED]
                part = self._indices[path][part]
            path = (*path, part)
        return path


def _remove(content: Any, path: Path) -> None:
    parent = _value_at(content, path[:-1])
    if not path:
        content.clear()
    elif isinstance(parent, dict):
        parent.pop(path[-1], None)
    elif isinstance(parent, list):
        parent[int(path[-1])] = _REMOVED


def _report_pydantic_error(detail: ErrorDetails, location: Path, content: Any, errors: ValidationErrors) -> None:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        errors.add_syntax_error(location, None, "required key is missing", "add it, or remove the entry")
        return
    path = _existing_path(content, location)
    is_key = location[-1:] == ("[key]",) and len(location) > len(path)
    value = path[-1] if is_key else _value_at(content, path)
    if kind == "rule":
        rule, remedy = context["rule"], context["remedy"]
    elif kind == "extra_forbidden":
        rule, remedy = "unknown key", _unknown_key_remedy(path)
    elif kind == "model_type":
        rule, remedy = _mapping_error(path)
    elif kind == "literal_error":
        choices = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        rule, remedy = f"not one of {', '.join(choices)}", suggest(value, choices, otherwise="choose one of them")
    elif kind == "greater_than_equal":
        rule, remedy = f"less than {_format_limit(context['ge'])}", f"write {_format_limit(context['ge'])} or more"
    elif kind == "less_than_equal":
        rule, remedy = f"more than {_format_limit(context['le'])}", f"write {_format_limit(context['le'])} or less"
    elif kind == "string_type" and (value is None or isinstance(value, dict | list)):
        rule = _TYPE_ERRORS[kind][0]
        remedy = "write a value, or remove the key" if value is None else "write one text in its place"
    elif kind in _TYPE_ERRORS:
        rule, remedy = _TYPE_ERRORS[kind]
    else:
        rule, remedy = detail["msg"][:1].lower() + detail["msg"][1:], "see docs/settings.md"
    errors.add_syntax_error(path, value, rule, remedy)


def _format_limit(limit: float) -> float:
    """Return a limit as a user would write it: 0, not 0.0."""
    return int(limit) if limit == int(limit) else limit


def _mapping_error(path: Path) -> tuple[str, str]:
    accepted = next((item for item in find_field_metadata(path) if isinstance(item, Shorthand)), None)
    keys = ", ".join(list_keys(path))
    if accepted is None:
        return "must be a mapping", f"write a mapping with keys from {keys}"
    return f"must be {accepted.words}, or a mapping", f"write {accepted.example}, or a mapping with keys from {keys}"


def _unknown_key_remedy(path: Path) -> str:
    key, known = str(path[-1]), list_keys(path[:-1])
    if difflib.get_close_matches(key, known, n=1, cutoff=0.8):
        return suggest(key, known)
    homes = [home for home in list_key_paths() if home[-1] == key]
    # Prefer the paths with the fewest levels.
    homes = [home for home in homes if len(home) == min(map(len, homes))]
    # A key below a cluster belongs to the same cluster, and a key of one service to that service.
    homes = [
        (*path[:2], *home[2:]) if home[0] == path[0] and home[0] in _NAMED_ENTRIES else home
        for home in homes
        if home[0] == path[0] or home[0] not in _NAMED_ENTRIES[1:]
    ]
    if 1 <= len(homes) <= 2:
        return f"move it to {' or '.join(format_path(home) for home in homes)}"
    return suggest(key, known)


def _existing_path(content: Any, location: Path) -> Path:
    """Return the part of a location that exists; Pydantic appends the names of its own types."""
    path: Path = ()
    for part in location:
        if _value_at(content, (*path, part)) is _REMOVED:
            break
        path = (*path, part)
    return path


def _value_at(content: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        is_index = isinstance(content, list) and isinstance(part, int) and part < len(content)
        if not is_index and not (isinstance(content, dict) and part in content):
            return _REMOVED
        content = content[part]
    return content
