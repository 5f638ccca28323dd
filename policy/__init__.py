"""What a reviewer needn't look for: rules on what a preview is about to make.

They run as a policy pack of Pulumi's (`pulumi up --policy-pack policy`), and as a check over the JSON that
`pulumi preview` prints (`python -m policy`). All but `pack` is without Pulumi.
"""

from policy.limits import Bounds
from policy.planned_resource import PlannedResource
from policy.preview import PreviewError, resources
from policy.rules import RULES, violations
from policy.violation import Violation

__all__ = ["RULES", "Bounds", "PlannedResource", "PreviewError", "Violation", "resources", "violations"]
