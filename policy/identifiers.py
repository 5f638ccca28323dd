"""Rule for Kubernetes providers: each has a clusterIdentifier, and no resource uses a default provider.

Without an identifier, the provider treats a changed kubeconfig as another cluster, and replaces all resources.
Follows https://www.pulumi.com/registry/packages/kubernetes/api-docs/provider/ (clusterIdentifier).
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.pulumi_constants import KUBERNETES_PROVIDER_TYPE
from policy.limits import LifetimeLimits
from policy.planned_resource import PlannedResource
from policy.rule import Rule, RuleFinding


def _check_provider(resource: PlannedResource, limits: LifetimeLimits) -> Iterator[RuleFinding]:
    # A default provider is not in a preview's JSON, but the resources that use it are.
    if f"::{KUBERNETES_PROVIDER_TYPE}::default" in resource.provider:
        message = "a default provider, which uses the current context of the kubeconfig"
        yield ("provider",), message, "set the provider of one of the stack file's clusters"
    if resource.type != KUBERNETES_PROVIDER_TYPE or resource.name.startswith("default"):
        return
    if not resource.properties.get("clusterIdentifier"):
        yield (
            ("clusterIdentifier",),
            "not set, so a changed kubeconfig would replace everything on the cluster",
            "set it to the cluster's name in the stack file",
        )


RULE = Rule(
    name="identifiers",
    description="Each Kubernetes provider has a clusterIdentifier.",
    level="mandatory",
    find=_check_provider,
)
