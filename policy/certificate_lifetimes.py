"""Lifetimes of certificates within bounds.

What is valid for too long outlives who could take it back; what is valid for too short ends before the next `up`.
Follows https://linkerd.io/2.14/tasks/generate-certificates/ and
https://www.pulumi.com/registry/packages/tls/api-docs/locallysignedcert/ (hours).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policy.limits import Bounds
from policy.planned_resource import PlannedResource
from policy.rule import Found, Rule

_SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
_SIGNED = "tls:index/locallySignedCert:LocallySignedCert"
_HOURS, _RENEWED = "validityPeriodHours", "earlyRenewalHours"
_REMEDY = "change trust.lifetimes in the stack file"


def _find(resource: PlannedResource, bounds: Bounds) -> Iterator[Found]:
    if resource.type not in (_SELF_SIGNED, _SIGNED):
        return
    hours = _number(resource.properties.get(_HOURS))
    if hours is None:
        return
    authority = resource.type == _SELF_SIGNED and resource.properties.get("isCaCertificate") is True
    longest = bounds.authority if authority else bounds.certificate
    if hours > longest:
        yield (_HOURS,), f"{_written(hours)} hours are more than {longest} ({_years(longest)})", _REMEDY
    if hours < bounds.shortest:
        yield (_HOURS,), f"{_written(hours)} hours are less than {bounds.shortest}", _REMEDY
    renewed = _number(resource.properties.get(_RENEWED))
    if renewed is not None and renewed >= hours:
        message = f"{_written(renewed)} of its {_written(hours)} hours are for renewal, so that each `up` makes it anew"
        yield (_RENEWED,), message, _REMEDY


def _number(value: Any) -> float | None:
    """A number; None where nobody knows it yet."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _written(hours: float) -> str:
    return f"{hours:.10g}" if isinstance(hours, float) else str(hours)


def _years(hours: int) -> str:
    years = round(hours / 8766)
    return "1 year" if years == 1 else f"{years} years" if years else f"{hours // 24} days"


RULE = Rule(
    name="lifetimes",
    description="Certificates are valid long enough to be renewed, and not for longer than is good.",
    level="mandatory",
    find=_find,
)
