"""All rules, and the search for their violations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mesh.message_format import format_path
from policy import certificate_lifetimes, gateways, identifiers, images, namespaces, plaintext_secrets
from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource
from policy.rule import Rule
from policy.violation import Level, Violation

RULES: tuple[Rule, ...] = (
    plaintext_secrets.RULE,
    certificate_lifetimes.RULE,
    identifiers.RULE,
    gateways.RULE,
    images.RULE,
    namespaces.RULE,
)


def find_violations(
    resources: Sequence[PlannedResource],
    limits: LifetimeLimits | None = None,
    levels: Mapping[str, Level] | None = None,
) -> list[Violation]:
    """Return all violations, sorted by resource, rule and path.

    Args:
        resources: the resources to check.
        limits: limits for the lifetimes of certificates.
        levels: levels by rule name, in place of the default levels.
    """
    rule_levels = {rule.name: (levels or {}).get(rule.name, rule.level) for rule in RULES}
    violations = {
        violation
        for rule in RULES
        if rule_levels[rule.name] != "disabled"
        for resource in resources
        for violation in check_resource(rule, resource, limits or LifetimeLimits(), rule_levels[rule.name])
    }
    return sorted(violations)


def check_resource(rule: Rule, resource: PlannedResource, limits: LifetimeLimits, level: Level) -> Iterator[Violation]:
    """Yield the violations of one rule by one resource.

    Args:
        rule: the rule.
        resource: the resource.
        limits: limits for the lifetimes of certificates.
        level: level of the violations.
    """
    for path, message, remedy in rule.find(resource, limits):
        yield Violation(
            rule=rule.name,
            level=level,
            urn=resource.urn,
            type=resource.type,
            name=resource.name,
            path=format_path(path, hide_unusual_keys=True),  # a key can be a pasted secret
            message=message,
            remedy=remedy,
        )
