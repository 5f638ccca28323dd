"""Namespaces labelled with what has made them.

Follows https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/ (part-of).
"""

from __future__ import annotations

from collections.abc import Iterator

from policy.limits import Bounds
from policy.planned_resource import SECRET, UNKNOWN, PlannedResource, at
from policy.rule import Found, Rule

# What the program sets on all namespaces that it makes, and what others say the same by.
LABELS = ("app.kubernetes.io/part-of", "app.kubernetes.io/managed-by")


def _find(resource: PlannedResource, bounds: Bounds) -> Iterator[Found]:
    if resource.type != "kubernetes:core/v1:Namespace":
        return
    labels = at(resource.properties, "metadata", "labels")
    if labels not in (SECRET, UNKNOWN) and not any(at(labels, label) for label in LABELS):
        remedy = f"label it `{LABELS[0]}`, as Cluster.namespace_metadata does"
        yield ("metadata", "labels"), "nothing says what the namespace belongs to", remedy


RULE = Rule(
    name="namespaces",
    description="Each namespace says by a label what it belongs to.",
    # A manifest of others, such as Buoyant Cloud's, may bring one that isn't, and nobody here can change that.
    level="advisory",
    find=_find,
)
