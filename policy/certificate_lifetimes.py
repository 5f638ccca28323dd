"""Rule for the lifetimes of certificates.

A certificate that is valid for too long cannot be revoked in time. A certificate that is valid for too short a time
expires before the next `up`. Follows https://linkerd.io/2.14/tasks/generate-certificates/ and
https://www.pulumi.com/registry/packages/tls/api-docs/locallysignedcert/ (hours).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource
from policy.rule import Rule, RuleFinding

_SELF_SIGNED_TYPE = "tls:index/selfSignedCert:SelfSignedCert"
_SIGNED_TYPE = "tls:index/locallySignedCert:LocallySignedCert"
_VALIDITY, _RENEWAL = "validityPeriodHours", "earlyRenewalHours"
_REMEDY = "change trust.lifetimes in the stack file"


def _check_lifetime(resource: PlannedResource, limits: LifetimeLimits) -> Iterator[RuleFinding]:
    if resource.type not in (_SELF_SIGNED_TYPE, _SIGNED_TYPE):
        return
    hours = _known_number(resource.properties.get(_VALIDITY))
    if hours is None:
        return
    is_authority = resource.type == _SELF_SIGNED_TYPE and resource.properties.get("isCaCertificate") is True
    maximum = limits.authority if is_authority else limits.certificate
    if hours > maximum:
        yield (_VALIDITY,), f"{_format(hours)} hours are more than {maximum} ({_format_years(maximum)})", _REMEDY
    if hours < limits.shortest:
        yield (_VALIDITY,), f"{_format(hours)} hours are less than {limits.shortest}", _REMEDY
    renewal = _known_number(resource.properties.get(_RENEWAL))
    if renewal is not None and renewal >= hours:
        message = (
            f"the renewal period of {_format(renewal)} hours is not shorter than the validity of {_format(hours)} "
            "hours, so each `up` renews the certificate"
        )
        yield (_RENEWAL,), message, _REMEDY


def _known_number(value: Any) -> float | None:
    """Return a number, or None for a value that is unknown until the update."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _format(hours: float) -> str:
    return f"{hours:.10g}" if isinstance(hours, float) else str(hours)


def _format_years(hours: int) -> str:
    years = round(hours / 8766)
    return "1 year" if years == 1 else f"{years} years" if years else f"{hours // 24} days"


RULE = Rule(
    name="lifetimes",
    description="Certificates are valid long enough for their renewal, and not longer than the limit.",
    level="mandatory",
    find=_check_lifetime,
)
