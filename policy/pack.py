"""The rules as a policy pack of Pulumi's, which looks at each resource before it is made.

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

from policy.config import HOURS, bounds
from policy.limits import Bounds
from policy.planned_resource import UNKNOWN, PlannedResource
from policy.rule import Rule
from policy.rules import RULES, rule_violations

NAME = "multicluster-mesh"


def serve() -> None:
    """Answer the engine, until it is done."""
    PolicyPack(NAME, [_policy(rule) for rule in RULES])


def _policy(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = PlannedResource(
            urn=args.urn,
            type=args.resource_type,
            properties=_plain(args.props),
            provider=args.provider.urn if args.provider is not None else "",
        )
        # The engine knows itself how strict the rule is meant to be.
        for violation in rule_violations(rule, resource, bounds(args.get_config()), rule.level):
            report(violation.describe(), None)

    defaults = asdict(Bounds())
    hours = {name: {"type": "integer", "minimum": 1, "default": defaults[bound]} for name, bound in HOURS.items()}
    return ResourceValidationPolicy(
        name=rule.name,
        description=rule.description,
        validate=validate,
        enforcement_level=EnforcementLevel(rule.level),
        config_schema=PolicyConfigSchema(properties=hours) if rule.name == "lifetimes" else None,
    )


def _plain(value: Any) -> Any:
    """Inputs without what raises an error at each value that only the update will know."""
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_item(value, number) for number in range(len(value))]
    return value


def _item(values: Any, key: str | int) -> Any:
    try:
        return _plain(values[key])
    except UnknownValueError:
        return UNKNOWN
