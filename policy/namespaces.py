"""Rule for namespaces: a label names their owner.

Follows https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/ (part-of).
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.pulumi_constants import UNKNOWN_VALUE
from mesh.redaction import SECRET
from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource, value_at
from policy.rule import Rule, RuleFinding

# The program sets the first label; other tools set the second one.
OWNER_LABELS = ("app.kubernetes.io/part-of", "app.kubernetes.io/managed-by")


def _check_namespace(resource: PlannedResource, limits: LifetimeLimits) -> Iterator[RuleFinding]:
    if resource.type != "kubernetes:core/v1:Namespace":
        return
    labels = value_at(resource.properties, "metadata", "labels")
    if labels not in (SECRET, UNKNOWN_VALUE) and not any(value_at(labels, label) for label in OWNER_LABELS):
        remedy = f"set the label `{OWNER_LABELS[0]}`, as Cluster.namespace_metadata does"
        yield ("metadata", "labels"), "no label names the owner of the namespace", remedy


RULE = Rule(
    name="namespaces",
    description="A label of each namespace names its owner.",
    # Advisory, because third-party manifests (such as Buoyant Cloud's) can contain a namespace without the label.
    level="advisory",
    find=_check_namespace,
)
