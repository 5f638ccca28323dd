"""No cluster without an identifier.

Without one, the provider for Kubernetes takes a changed kubeconfig for another cluster, and replaces all that is on it.
Follows https://www.pulumi.com/registry/packages/kubernetes/api-docs/provider/ (clusterIdentifier).
"""

from __future__ import annotations

from collections.abc import Iterator

from policy.limits import Bounds
from policy.planned_resource import PlannedResource
from policy.rule import Found, Rule

PROVIDER = "pulumi:providers:kubernetes"


def _find(resource: PlannedResource, bounds: Bounds) -> Iterator[Found]:
    # A default provider is in no preview's JSON; whoever uses it is.
    if f"::{PROVIDER}::default" in resource.provider:
        remedy = "give it the provider of one of the stack file's clusters"
        yield ("provider",), "goes to whichever cluster the kubeconfig has chosen", remedy
    if resource.type != PROVIDER or resource.name.startswith("default"):
        return
    if not resource.properties.get("clusterIdentifier"):
        yield (
            ("clusterIdentifier",),
            "not set, so that a changed kubeconfig replaces all that is on the cluster",
            "set it to the cluster's name in the stack file",
        )


RULE = Rule(
    name="identifiers",
    description="Each provider for Kubernetes has a clusterIdentifier.",
    level="mandatory",
    find=_find,
)
