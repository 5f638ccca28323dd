"""YAML that people or machines hand in, read so that it can neither mislead nor exhaust whoever reads it.

PyYAML takes the last of two keys of one name without a word, lets ten lines of aliases stand for more values than fit
into memory, and nests as deep as it likes. All of that is an error here, found before anything is made of the text.
Follows https://yaml.org/spec/1.2.2/ (3.2.1.1, keys must be unique; 7.1, aliases).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

# How deep mappings and lists may be in one another.
DEPTH = 100
# A mapping's key by which another mapping's keys are taken over.
MERGE = "<<"

# libyaml, where the package has it, is ten times as fast.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Beside its own errors the parser lets through what Python says of a value that isn't what a tag calls it.
_BROKEN = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class StrictYamlError(Exception):
    """It can't be read; the message says why and where, and quotes nothing but a key that is there twice."""


class PulumiLoader(_Loader):  # type: ignore[misc]
    """YAML as Pulumi reads it: dates, and words such as `no` and `on`, are texts."""


PulumiLoader.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
PulumiLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), "tTfF")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much there may be."""

    size: int = 16 * 2**20  # bytes, or characters
    values: int = 200_000  # with every alias as all that it stands for


# More than any stack file or kubeconfig has.
USUAL = Limits()


@dataclass
class _Open:
    """A mapping or a list whose end hasn't come yet."""

    anchor: str | None
    mapping: bool
    weight: int = 1
    entries: int = 0
    keys: set[str] = field(default_factory=set)


def load(text: str | bytes, limits: Limits = USUAL, loader: Any = _Loader) -> Any:
    """The one document of a text.

    Args:
        text: in UTF-8 or UTF-16, where it is bytes.
        limits: how much it may hold.
        loader: what makes values of it.

    Raises:
        StrictYamlError: it is not YAML, or more than anybody would write.
    """
    _judge(text, limits, unique=True)
    try:
        return yaml.load(text, loader)
    except _BROKEN as error:
        raise _not_yaml(error) from None


def load_all(text: str | bytes, limits: Limits = USUAL) -> list[Any]:
    """All documents of a text; where a key is there twice, the last one counts, as it does for Kubernetes.

    Args:
        text: in UTF-8 or UTF-16, where it is bytes.
        limits: how much it may hold.

    Raises:
        StrictYamlError: it is not YAML, or more than anybody would write.
    """
    _judge(text, limits, unique=False)
    try:
        return list(yaml.load_all(text, _Loader))
    except _BROKEN as error:
        raise _not_yaml(error) from None


def _judge(text: str | bytes, limits: Limits, *, unique: bool) -> None:
    """See how much there is in a text, by its parts alone: nothing is made of it yet."""
    if len(text) > limits.size:
        raise StrictYamlError(f"larger than {limits.size // 2**20} MiB")
    weights: dict[str, int] = {}  # by anchor
    around = [_Open(anchor=None, mapping=False)]
    try:
        for event in yaml.parse(text, _Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                if unique:
                    _count_key(None, around[-1], event)
                around.append(_Open(anchor=event.anchor, mapping=isinstance(event, yaml.MappingStartEvent)))
                if len(around) > DEPTH:
                    raise StrictYamlError(f"line {_line(event)}: nested more than {DEPTH} deep")
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                closed = around.pop()
                weight, anchor = closed.weight, closed.anchor
            elif isinstance(event, yaml.ScalarEvent):
                weight, anchor = 1, event.anchor
                if unique:
                    _count_key(event.value, around[-1], event)
            elif isinstance(event, yaml.AliasEvent):
                weight, anchor = _weight(event, weights, around), None
                if unique:
                    _count_key(None, around[-1], event)
            else:
                continue
            if anchor is not None:
                weights[anchor] = weight
            around[-1].weight += weight
            if around[-1].weight > limits.values:
                raise StrictYamlError(f"line {_line(event)}: more than {limits.values} values, aliases written out")
    except _BROKEN as error:
        raise _not_yaml(error) from None


def _weight(alias: yaml.AliasEvent, weights: dict[str, int], around: Sequence[_Open]) -> int:
    if any(each.anchor == alias.anchor for each in around):
        raise StrictYamlError(f"line {_line(alias)}: an alias for what it stands in, without an end")
    return weights.get(str(alias.anchor), 1)  # of an anchor that isn't there the parser tells itself


def _count_key(text: str | None, here: _Open, event: yaml.Event) -> None:
    """One entry more of a mapping: a key, its value, and so on in turn."""
    if here.mapping and here.entries % 2 == 0 and text is not None and text != MERGE:
        if text in here.keys:
            shown = json.dumps(text if len(text) <= 80 else f"{text[:79]}…", ensure_ascii=False)
            raise StrictYamlError(f"line {_line(event)}: the key {shown} is there twice; take one of the two out")
        here.keys.add(text)
    here.entries += 1


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _not_yaml(error: Exception) -> StrictYamlError:
    # The parser's own words quote the line, which may be a token or a key.
    mark = getattr(error, "problem_mark", None)
    return StrictYamlError(f"not YAML{f' at line {mark.line + 1}' if mark else ''}")
