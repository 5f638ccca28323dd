"""Policies for the resources of a preview.

Two commands apply the same rules:

* `pulumi up --policy-pack policy` runs them as a Pulumi policy pack.
* `python -m policy FILE` checks the JSON output of `pulumi preview`.

Only `pack` imports Pulumi.
"""

from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource
from policy.preview import PreviewError, extract_resources
from policy.rules import RULES, find_violations
from policy.violation import Violation

__all__ = [
    "RULES",
    "LifetimeLimits",
    "PlannedResource",
    "PreviewError",
    "Violation",
    "extract_resources",
    "find_violations",
]
