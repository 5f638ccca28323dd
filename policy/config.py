"""Configuration of the policies: levels of the rules, and limits for the lifetimes of certificates.

Follows https://www.pulumi.com/docs/iac/packages-and-automation/crossguard/configuration/, so that one file serves both
`pulumi up --policy-pack-config` and `python -m policy --config`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from policy.limits import LifetimeLimits
from policy.rules import RULES
from policy.violation import Level

_LEVEL = "enforcementLevel"
# Properties of the rule `lifetimes`, and the limits that they set.
LIMITS_BY_PROPERTY = {f"{limit.name}Hours": limit.name for limit in fields(LifetimeLimits)}


class PolicyConfigError(Exception):
    """An invalid configuration."""


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """Configuration of the policies."""

    levels: Mapping[str, Level] = field(default_factory=dict)  # by rule name; other rules have their default level
    limits: LifetimeLimits = field(default_factory=LifetimeLimits)


def parse_config(text: str) -> PolicyConfig:
    """Parse a configuration, such as `{"gateways": "mandatory", "lifetimes": {"authorityHours": 43800}}`.

    Args:
        text: JSON.

    Raises:
        PolicyConfigError: the configuration is invalid.
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError):
        raise PolicyConfigError("not JSON") from None
    if not isinstance(document, dict):
        raise PolicyConfigError("not a mapping of rules")
    names = [rule.name for rule in RULES]
    levels: dict[str, Level] = {}
    hours: dict[str, Any] = {}
    # `all` comes first, so that the level of a single rule overrides it.
    for key in sorted(document, key=lambda name: name != "all"):
        if key not in ("all", *names):
            raise PolicyConfigError(f"{json.dumps(key)}: unknown rule; use one of all, {', '.join(names)}")
        properties = document[key] if isinstance(document[key], dict) else {_LEVEL: document[key]}
        if _LEVEL in properties:
            level = _parse_level(key, properties[_LEVEL])
            levels |= dict.fromkeys(names, level) if key == "all" else {key: level}
        others = {name: value for name, value in properties.items() if name != _LEVEL}
        if others and key != "lifetimes":
            raise PolicyConfigError(f"{key}: unknown property; set only {_LEVEL}")
        hours |= others
    return PolicyConfig(levels=levels, limits=parse_limits(hours))


def parse_limits(properties: Mapping[str, Any]) -> LifetimeLimits:
    """Return the limits that the properties of the rule `lifetimes` set.

    Args:
        properties: hours by `shortestHours`, `authorityHours` and `certificateHours`, all optional.

    Raises:
        PolicyConfigError: a property is unknown, or not a number of hours.
    """
    limits: dict[str, int] = {}
    for key, value in properties.items():
        if key not in LIMITS_BY_PROPERTY:
            raise PolicyConfigError(
                f"lifetimes.{json.dumps(key)}: unknown property; use one of {', '.join(LIMITS_BY_PROPERTY)}"
            )
        # Pulumi passes all numbers as floats.
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 1:
            raise PolicyConfigError(f"lifetimes.{key}: not a positive whole number; set a number of hours")
        limits[LIMITS_BY_PROPERTY[key]] = int(value)
    return LifetimeLimits(**limits)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; reject duplicate keys, which Python's parser would accept silently."""
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if key in mapping:
            raise PolicyConfigError(f"{json.dumps(key[:80])}: duplicate key; remove one of the two")
        mapping[key] = value
    return mapping


def _parse_level(rule: str, value: Any) -> Level:
    for level in get_args(Level):
        if value == level:
            return level  # type: ignore[no-any-return]
    raise PolicyConfigError(f"{rule}: invalid {_LEVEL}; use one of {', '.join(get_args(Level))}")
