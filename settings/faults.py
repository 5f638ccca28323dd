"""Faults of a stack file, each in the form `path: value: rule; remedy`, all of them at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from settings.stack_file import Short, StackFile

Path = tuple[str | int, ...]

_OUT = object()
# A stack file with more nesting than this is a mistake, and would exhaust whatever walks it.
DEPTH = 50
# Stands for a value that a message has no need of.
LEFT_OUT = "…"
# Stands for every entry, in a path.
ANY = "*"
# Of a long list of names a message has this many.
NAMED = 12

# What is said of a value of the wrong kind, by Pydantic's name for the mistake.
_KINDS: Mapping[str, tuple[str, str]] = {
    "string_type": ("a text was expected", "write it in quotes"),
    "string_unicode": ("there is something in it that isn't text", "write it anew"),
    "bool_type": ("true or false was expected", "write true or false, without quotes"),
    "int_type": ("a whole number was expected", "write digits alone, without quotes or a unit"),
    "list_type": ("a list was expected", "write each entry on a line that begins with `- `"),
    "dict_type": ("a mapping was expected", "write `key: value` on lines of their own"),
}
# Where numbers can't be secrets, nor can texts unless the key has some.
_PLAIN = (("trust", "lifetimes"), ("trust", "certManager"))


class SettingsError(Exception):
    """Everything that is wrong with a stack file, one fault per line."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n".join([f"{count} in the configuration; nothing was touched:", *self.faults]))


class Faults:
    """Collects faults.

    Args:
        hidden: top-level keys in which values are secrets, or may be, and are never shown.
        secret: those of them in which some surely are; left out, all.
    """

    def __init__(self, hidden: Collection[str] = (), secret: Collection[str] | None = None) -> None:
        self._hidden = hidden
        self._secret = hidden if secret is None else secret
        self._lines: dict[str, None] = {}
        self._malformed: set[Path] = set()
        self._around: set[Path] = set()

    def add(self, path: Sequence[str | int], value: Any, rule: str, remedy: str) -> None:
        """Add a fault; a fault that is there already is not added twice."""
        line = f"{written(path)}: {self._shown(path, value)}: {rule}; {remedy}"
        self._lines[_printable(line)] = None

    def add_of_form(self, path: Path, value: Any, rule: str, remedy: str) -> None:
        """Add a fault for which a value is left out of all that follows."""
        self.add(path, value, rule, remedy)
        self._malformed.add(path)
        self._around |= {path[:length] for length in range(1, len(path) + 1)}

    def malformed(self, *path: str | int) -> bool:
        """Whether something was left out there, inside it or around it: what is missing now was not missing before."""
        return path in self._around or any(path[:length] in self._malformed for length in range(1, len(path)))

    def raise_if_any(self) -> None:
        """Raise what was collected.

        Raises:
            SettingsError: something was.
        """
        if self._lines:
            raise SettingsError(self._lines)

    def _shown(self, path: Sequence[str | int], value: Any) -> str:
        harmless = value is None or isinstance(value, bool)
        top = path[0] if path else ""
        plain = isinstance(value, int | float) or top not in self._secret
        if value == LEFT_OUT:
            return LEFT_OUT
        if top in self._hidden and not harmless and not (plain and tuple(path[:2]) in _PLAIN):
            return "[secret]"
        if isinstance(value, dict | list):
            # What is in it can be anything, and its path says where to look.
            return ("{…}" if value else "{}") if isinstance(value, dict) else ("[…]" if value else "[]")
        if not isinstance(value, str):
            return _cut(json.dumps(value, default=str), 80)
        # The first line of a kubeconfig or a key says what it is; the others are nobody's business.
        first, *others = value.split("\n", 1)
        first = re.sub(r"//\S*@", f"//{LEFT_OUT}@", first)
        return json.dumps(_cut(first, 80) + (LEFT_OUT if others else ""), ensure_ascii=False)


def written(path: Sequence[str | int]) -> str:
    """A path as its reader writes it: `links[0].source`."""
    parts = [f"[{part}]" if isinstance(part, int) else _key(_cut(part, 80)) for part in path]
    return "".join(parts).removeprefix(".")


def _key(part: str) -> str:
    plain = re.fullmatch(r"[\w$/*…-]+", part)
    return f".{part}" if plain else f"[{json.dumps(part, ensure_ascii=False)}]"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}{LEFT_OUT}"


def _printable(line: str) -> str:
    """One line, whatever was in the values."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in line)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A stack file without whatever is wrong in its form, so that the rest can be judged too."""

    file: StackFile
    rest: Any  # what it was read from, with _OUT in lists where an entry was taken out

    def numbered(self, *path: str | int) -> list[int]:
        """The places that the entries of a list have in the stack file."""
        found = _at(self.rest, path)
        return [number for number, item in enumerate(found) if item is not _OUT] if isinstance(found, list) else []


def read(config: Mapping[str, Any], faults: Faults) -> Reading:
    """Read a stack file.

    Args:
        config: decoded, its keys without the project's prefix.
        faults: where faults of form go.
    """
    # A key with nothing after its colon, because all below it is a comment, is as good as none.
    known = {key: value for key, value in config.items() if value is not None or key not in TOP}
    rest = _without_depths(known, (), faults)
    first = True
    while True:
        try:
            return Reading(file=StackFile.model_validate(_without_outs(rest)), rest=rest)
        except ValidationError as error:
            places = _Places(rest)
            found = [(detail, places.translated(detail["loc"])) for detail in error.errors(include_url=False)]
        for detail, location in found:
            # Only the first time: later on, what is missing is what was taken out.
            if first:
                _report(detail, location, rest, faults)
        # All of them are looked up before the first goes: in what is out, nothing is found any more.
        wrong = [
            location[:-1] if detail["type"] == "missing" else _within(rest, location) for detail, location in found
        ]
        for path in wrong:
            _take_out(rest, path)
        first = False


def _without_depths(value: Any, path: Path, faults: Faults) -> Any:
    if len(path) > DEPTH:
        faults.add_of_form((*path[:3], LEFT_OUT), LEFT_OUT, f"nested more than {DEPTH} deep", "write it flat")
        return None
    if isinstance(value, dict):
        return {str(key): _without_depths(item, (*path, str(key)), faults) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_depths(item, (*path, number), faults) for number, item in enumerate(value)]
    return value


def _without_outs(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_outs(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_outs(item) for item in value if item is not _OUT]
    return value


class _Places:
    """Finds what was at fault in a configuration without what was taken out in the one with it."""

    def __init__(self, rest: Any) -> None:
        self._rest = rest
        self._places: dict[Path, list[int]] = {}  # of a list's entries that are still there

    def translated(self, location: Path) -> Path:
        path: Path = ()
        for part in location:
            if isinstance(part, int):
                if path not in self._places:
                    here = _at(self._rest, path)
                    entries = here if isinstance(here, list) else []
                    self._places[path] = [number for number, item in enumerate(entries) if item is not _OUT]
                part = self._places[path][part]
            path = (*path, part)
        return path


def _take_out(rest: Any, path: Path) -> None:
    parent = _at(rest, path[:-1])
    if not path:
        rest.clear()
    elif isinstance(parent, dict):
        parent.pop(path[-1], None)
    elif isinstance(parent, list):
        parent[int(path[-1])] = _OUT


def _report(detail: ErrorDetails, location: Path, config: Any, faults: Faults) -> None:
    """One of Pydantic's errors as a fault."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        faults.add_of_form(location, None, "missing", "write it, or take the entry out")
        return
    path = _within(config, location)
    value = path[-1] if location[-1:] == ("[key]",) and len(location) > len(path) else _at(config, path)
    if kind == "fault":
        rule, remedy = context["rule"], context["remedy"]
    elif kind == "extra_forbidden":
        rule, remedy = "unknown key", _unknown(path)
    elif kind == "model_type":
        rule, remedy = _no_mapping(path, value)
    elif kind == "literal_error":
        choices = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        rule, remedy = f"not one of {', '.join(choices)}", suggestion(value, choices, otherwise="choose one of them")
    elif kind == "greater_than_equal":
        rule, remedy = f"less than {context['ge']}", f"write {context['ge']} or more"
    elif kind == "less_than_equal":
        rule, remedy = f"more than {context['le']}", f"write {context['le']} or less"
    elif kind == "string_type" and (value is None or isinstance(value, dict | list)):
        rule = _KINDS[kind][0]
        remedy = "write it, or take the key out" if value is None else "write one text in its place"
    elif kind in _KINDS:
        rule, remedy = _KINDS[kind]
    else:
        rule, remedy = detail["msg"][:1].lower() + detail["msg"][1:], "see the settings in README.md"
    faults.add_of_form(path, value, rule, remedy)


def _no_mapping(path: Path, value: Any) -> tuple[str, str]:
    short = next((each.words for each in _metadata(path) if isinstance(each, Short)), None)
    if short is None:
        return "a mapping was expected", f"known keys are {', '.join(_keys(path))}"
    remedy = f"write {short} without quotes, or keys among {', '.join(_keys(path))}"
    return f"{short}, or a mapping, was expected", remedy


def _unknown(path: Path) -> str:
    """What to do about a key that isn't known where it is."""
    key, known = str(path[-1]), _keys(path[:-1])
    if difflib.get_close_matches(key, known, n=1, cutoff=0.8):
        return suggestion(key, known)
    elsewhere = [home for home in _every_key() if home[-1] == key]
    # In a cluster it is this one that is meant.
    elsewhere = [(*path[:2], *home[2:]) if home[0] == path[0] == "clusters" else home for home in elsewhere]
    if 1 <= len(elsewhere) <= 2:
        return f"move it to {' or '.join(written(home) for home in elsewhere)}"
    return suggestion(key, known)


@cache
def _every_key() -> tuple[Path, ...]:
    """The paths of all keys of the definition."""
    return tuple(_homes(StackFile, ()))


def _homes(kind: Any, path: Path) -> Iterator[Path]:
    kind = _plain(kind)
    if get_origin(kind) is list:
        yield from _homes(get_args(kind)[0], (*path, ANY))
    elif get_origin(kind) is dict:
        yield from _homes(get_args(kind)[1], (*path, ANY))
    elif _is_part(kind):
        for key, field in _fields(kind).items():
            yield (*path, key)
            yield from _homes(field.annotation, (*path, key))


def suggestion(value: Any, choices: Sequence[str], otherwise: str | None = None) -> str:
    """A remedy for a word that isn't one of those that are known.

    Args:
        value: the word.
        choices: those that are known.
        otherwise: the remedy where none of them is close; by default, it lists them.
    """
    close = difflib.get_close_matches(str(value)[:253], choices, n=1)
    return f"did you mean {close[0]}?" if close else otherwise or f"known are {listed(choices)}"


def listed(names: Sequence[str]) -> str:
    """Names in a row, if they aren't too many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more if names else "none"


def _within(config: Any, location: Path) -> Path:
    """The part of a location that the configuration has; Pydantic adds names of its own types at the end."""
    path: Path = ()
    for part in location:
        if _at(config, (*path, part)) is _OUT:
            break
        path = (*path, part)
    return path


def _at(config: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        inside = isinstance(config, list) and isinstance(part, int) and part < len(config)
        if not inside and not (isinstance(config, dict) and part in config):
            return _OUT
        config = config[part]
    return config


def _keys(path: Path) -> list[str]:
    """The keys that the mapping at a path may have."""
    kind = _plain(_kind(path))
    return list(_fields(kind)) if _is_part(kind) else []


def _kind(path: Path) -> Any:
    """The type of what is at a path."""
    kind: Any = StackFile
    for part in path:
        kind = _plain(kind)
        if get_origin(kind) in (dict, list):
            kind = get_args(kind)[-1]
        elif _is_part(kind):
            field = _fields(kind).get(str(part))
            kind = field.annotation if field is not None else None
    return kind


def _metadata(path: Path) -> list[Any]:
    """What stands beside the type of the field at a path."""
    kind = _plain(_kind(path[:-1]))
    field = _fields(kind).get(str(path[-1])) if path and _is_part(kind) else None
    return field.metadata if field is not None else []


def _fields(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in kind.model_fields.items()}


# The keys that a stack file may have.
TOP = tuple(_fields(StackFile))


def _plain(kind: Any) -> Any:
    """What `Annotated[kind, …]` and `kind | None` are about."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return _plain(get_args(kind)[0])
    return kind


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
