"""All rules, and what they find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from policy import certificate_lifetimes, gateways, identifiers, images, namespaces, plaintext_secrets
from policy.limits import Bounds
from policy.planned_resource import PlannedResource
from policy.rule import Rule
from policy.violation import Level, Violation, written

RULES: tuple[Rule, ...] = (
    plaintext_secrets.RULE,
    certificate_lifetimes.RULE,
    identifiers.RULE,
    gateways.RULE,
    images.RULE,
    namespaces.RULE,
)


def violations(
    resources: Sequence[PlannedResource], bounds: Bounds | None = None, levels: Mapping[str, Level] | None = None
) -> list[Violation]:
    """Every violation, by resource, rule and path.

    Args:
        resources: what is to be judged.
        bounds: of certificates' lifetimes.
        levels: of rules, by name, where they aren't the rules' own.
    """
    chosen = levels or {}
    judged = ((rule, chosen.get(rule.name, rule.level)) for rule in RULES)
    found = [
        violation
        for rule, level in judged
        if level != "disabled"
        for resource in resources
        for violation in rule_violations(rule, resource, bounds or Bounds(), level)
    ]
    return sorted(set(found))


def rule_violations(rule: Rule, resource: PlannedResource, bounds: Bounds, level: Level) -> Iterator[Violation]:
    """The violations of one rule by one resource.

    Args:
        rule: the rule.
        resource: the resource.
        bounds: of certificates' lifetimes.
        level: what each violation is.
    """
    for path, message, remedy in rule.find(resource, bounds):
        yield Violation(
            rule=rule.name,
            level=level,
            urn=resource.urn,
            type=resource.type,
            name=resource.name,
            path=written(path),
            message=message,
            remedy=remedy,
        )
