"""Pulumi policy pack: the rules check each resource before Pulumi creates it.

Follows https://www.pulumi.com/docs/iac/packages-and-automation/crossguard/core-concepts/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from mesh.pulumi_constants import UNKNOWN_VALUE
from policy.config import LIMITS_BY_PROPERTY, parse_limits
from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource
from policy.rule import Rule
from policy.rules import RULES, check_resource

PACK_NAME = "multicluster-mesh"


def serve_pack() -> None:
    """Serve the policies to the Pulumi engine until the engine exits."""
    PolicyPack(PACK_NAME, [_build_policy(rule) for rule in RULES])


def _build_policy(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = PlannedResource(
            urn=args.urn,
            type=args.resource_type,
            properties=_to_plain(args.props),
            provider=args.provider.urn if args.provider is not None else "",
        )
        # The engine applies the configured level itself.
        for violation in check_resource(rule, resource, parse_limits(args.get_config()), rule.level):
            report(violation.describe(), None)

    defaults = asdict(LifetimeLimits())
    hours = {
        name: {"type": "integer", "minimum": 1, "default": defaults[limit]}
        for name, limit in LIMITS_BY_PROPERTY.items()
    }
    return ResourceValidationPolicy(
        name=rule.name,
        description=rule.description,
        validate=validate,
        enforcement_level=EnforcementLevel(rule.level),
        config_schema=PolicyConfigSchema(properties=hours) if rule.name == "lifetimes" else None,
    )


def _to_plain(value: Any) -> Any:
    """Return inputs with `UNKNOWN_VALUE` in place of unknown values, which raise an error when accessed."""
    if isinstance(value, Mapping):
        return {key: _plain_item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain_item(value, number) for number in range(len(value))]
    return value


def _plain_item(container: Any, key: str | int) -> Any:
    try:
        return _to_plain(container[key])
    except UnknownValueError:
        return UNKNOWN_VALUE
