"""Strict and bounded parsing of YAML from users, clusters and chart repositories.

PyYAML silently keeps the last of two equal keys. Ten lines of aliases can expand to more values than fit into memory,
and any depth is allowed. Here each of these is an error, reported before any value is built.
Follows https://yaml.org/spec/1.2.2/ (3.2.1.1, keys must be unique; 7.1, aliases).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

# Mappings and lists inside each other.
MAX_DEPTH = 100
# The key that merges another mapping into this one.
MERGE_KEY = "<<"

# libyaml is ten times as fast, but not every PyYAML package contains it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The parser's own errors, and Python's errors for a value that does not match its tag.
_PARSE_ERRORS = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class StrictYamlError(Exception):
    """The text cannot be parsed; the message has reason and line, and quotes only duplicate keys."""


class PulumiLoader(_Loader):  # type: ignore[misc]
    """Loader for YAML as Pulumi parses it: dates, and words such as `no` and `on`, are strings."""


PulumiLoader.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
PulumiLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), "tTfF")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a text."""

    max_bytes: int = 16 * 2**20  # or characters, of a string
    max_values: int = 200_000  # with all aliases expanded


# Larger than any real stack file or kubeconfig.
DEFAULT_LIMITS = Limits()
# For Helm manifests and indexes of chart repositories: CRDs and indexes are long.
MANIFEST_LIMITS = Limits(max_bytes=64 * 2**20, max_values=2_000_000)


@dataclass
class _OpenCollection:
    """A mapping or a list whose end the parser has not reached."""

    anchor: str | None
    is_mapping: bool
    weight: int = 1  # number of values, with aliases expanded
    entries: int = 0
    keys: set[str] = field(default_factory=set)


def load(text: str | bytes, limits: Limits = DEFAULT_LIMITS, loader: Any = _Loader) -> Any:
    """Return the only document of a text.

    Args:
        text: YAML; bytes are UTF-8 or UTF-16.
        limits: limits of the text.
        loader: PyYAML's loader.

    Raises:
        StrictYamlError: the text is not YAML, has a duplicate key, or exceeds a limit.
    """
    _check_text(text, limits, unique_keys=True)
    try:
        return yaml.load(text, loader)
    except _PARSE_ERRORS as error:
        raise _not_yaml(error) from None


def compose(text: str | bytes, limits: Limits = DEFAULT_LIMITS) -> yaml.Node | None:
    """Return the only document of a text as nodes, which have their lines; None: the text is empty.

    Args:
        text: YAML; bytes are UTF-8 or UTF-16.
        limits: limits of the text. The nodes of an alias exist once.

    Raises:
        StrictYamlError: the text is not YAML, has a duplicate key, or exceeds a limit.
    """
    _check_text(text, limits, unique_keys=True)
    try:
        node: yaml.Node | None = yaml.compose(text, _Loader)
    except _PARSE_ERRORS as error:
        raise _not_yaml(error) from None
    return node


def load_all(text: str | bytes, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
    """Return all documents of a text; of duplicate keys the last one counts, as in Kubernetes.

    Args:
        text: YAML; bytes are UTF-8 or UTF-16.
        limits: limits of the text.

    Raises:
        StrictYamlError: the text is not YAML, or exceeds a limit.
    """
    _check_text(text, limits, unique_keys=False)
    try:
        return list(yaml.load_all(text, _Loader))
    except _PARSE_ERRORS as error:
        raise _not_yaml(error) from None


def _check_text(text: str | bytes, limits: Limits, *, unique_keys: bool) -> None:
    """Check a text from its parser events, before any value is built."""
    if len(text) > limits.max_bytes:
        raise StrictYamlError(f"larger than {limits.max_bytes // 2**20} MiB")
    weights: dict[str, int] = {}  # by anchor
    enclosing = [_OpenCollection(anchor=None, is_mapping=False)]
    try:
        for event in yaml.parse(text, _Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                if unique_keys:
                    _count_entry(None, enclosing[-1], event)
                enclosing.append(
                    _OpenCollection(anchor=event.anchor, is_mapping=isinstance(event, yaml.MappingStartEvent))
                )
                if len(enclosing) > MAX_DEPTH:
                    raise StrictYamlError(f"line {_line(event)}: nested more than {MAX_DEPTH} deep")
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                closed = enclosing.pop()
                weight, anchor = closed.weight, closed.anchor
            elif isinstance(event, yaml.ScalarEvent):
                weight, anchor = 1, event.anchor
                if unique_keys:
                    _count_entry(event.value, enclosing[-1], event)
            elif isinstance(event, yaml.AliasEvent):
                weight, anchor = _expanded_size(event, weights, enclosing), None
                if unique_keys:
                    _count_entry(None, enclosing[-1], event)
            else:
                continue
            if anchor is not None:
                weights[anchor] = weight
            enclosing[-1].weight += weight
            if enclosing[-1].weight > limits.max_values:
                raise StrictYamlError(
                    f"line {_line(event)}: more than {limits.max_values} values, with aliases expanded"
                )
    except _PARSE_ERRORS as error:
        raise _not_yaml(error) from None


def _expanded_size(alias: yaml.AliasEvent, weights: dict[str, int], enclosing: Sequence[_OpenCollection]) -> int:
    if any(each.anchor == alias.anchor for each in enclosing):
        raise StrictYamlError(f"line {_line(alias)}: an alias for a collection that contains it")
    return weights.get(str(alias.anchor), 1)  # the parser reports an undefined anchor


def _count_entry(text: str | None, here: _OpenCollection, event: yaml.Event) -> None:
    """Count an entry of a collection and report a duplicate key; entries of a mapping are keys and values in turn."""
    if here.is_mapping and here.entries % 2 == 0 and text is not None and text != MERGE_KEY:
        if text in here.keys:
            quoted_key = json.dumps(text if len(text) <= 80 else f"{text[:79]}…", ensure_ascii=False)
            raise StrictYamlError(f"line {_line(event)}: duplicate key {quoted_key}; remove one of the two")
        here.keys.add(text)
    here.entries += 1


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _not_yaml(error: Exception) -> StrictYamlError:
    # The parser's own message quotes the line, which may contain a token or a key.
    mark = getattr(error, "problem_mark", None)
    return StrictYamlError(f"not YAML{f' at line {mark.line + 1}' if mark else ''}")
