"""What a user says of the rules: how strict they are, and how long certificates may be valid.

Follows https://www.pulumi.com/docs/iac/packages-and-automation/crossguard/configuration/, so that one file serves
`pulumi up --policy-pack-config` and `python -m policy --config`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from policy.limits import Bounds
from policy.rules import RULES
from policy.violation import Level

_LEVEL = "enforcementLevel"
# The properties of `lifetimes`, and the bounds that they set.
HOURS = {f"{bound.name}Hours": bound.name for bound in fields(Bounds)}


class ConfigError(Exception):
    """A configuration that can't be followed."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How rules are to be applied."""

    levels: Mapping[str, Level] = field(default_factory=dict)  # by name of a rule; others have their own
    bounds: Bounds = field(default_factory=Bounds)


def parse(text: str) -> Config:
    """A configuration, such as `{"gateways": "mandatory", "lifetimes": {"authorityHours": 43800}}`.

    Args:
        text: JSON.

    Raises:
        ConfigError: it isn't one.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise ConfigError("not JSON") from None
    if not isinstance(found, dict):
        raise ConfigError("a mapping of rules was expected")
    names = [rule.name for rule in RULES]
    levels: dict[str, Level] = {}
    hours: dict[str, Any] = {}
    # What is said of all comes first, so that what is said of one is said over it.
    for key in sorted(found, key=lambda name: name != "all"):
        if key not in ("all", *names):
            raise ConfigError(f"{json.dumps(key)}: no such rule; known are all, {', '.join(names)}")
        said = found[key] if isinstance(found[key], dict) else {_LEVEL: found[key]}
        if _LEVEL in said:
            level = _level(key, said[_LEVEL])
            levels |= dict.fromkeys(names, level) if key == "all" else {key: level}
        others = {name: value for name, value in said.items() if name != _LEVEL}
        if others and key != "lifetimes":
            raise ConfigError(f"{key}: only {_LEVEL} can be set")
        hours |= others
    return Config(levels=levels, bounds=bounds(hours))


def bounds(properties: Mapping[str, Any]) -> Bounds:
    """The bounds that the properties of `lifetimes` say.

    Args:
        properties: hours, by `shortestHours`, `authorityHours` and `certificateHours`; left out, the usual ones.

    Raises:
        ConfigError: another property, or one that is no number of hours.
    """
    chosen: dict[str, int] = {}
    for key, value in properties.items():
        if key not in HOURS:
            raise ConfigError(f"lifetimes.{json.dumps(key)}: no such property; known are {', '.join(HOURS)}")
        # Pulumi hands all numbers over as floats.
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 1:
            raise ConfigError(f"lifetimes.{key}: not a number of hours")
        chosen[HOURS[key]] = int(value)
    return Bounds(**chosen)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON, which would take the last of two keys of one name without a word."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError(f"the key {json.dumps(key[:80])} is there twice in one mapping; take one of the two out")
        found[key] = value
    return found


def _level(rule: str, value: Any) -> Level:
    for level in get_args(Level):
        if value == level:
            return level  # type: ignore[no-any-return]
    raise ConfigError(f"{rule}: {_LEVEL} is one of {', '.join(get_args(Level))}")
