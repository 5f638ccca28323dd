"""Resources of clusters that cannot be reached: they stay in the stack state, unchanged.

Pulumi deletes a resource that the program no longer registers, and compares a registered one with its cluster. So the
program registers again each resource that the state has of an unreachable cluster. The resource has the same type and
name, and ignores all changes. Resources that the state lacks are created when the cluster is reachable.

The program retains the resources on such a cluster, their parent components, and all children of these parents. So it
retains both ends of a link. The ClusterMesh is an exception: it has children on reachable clusters.

An abandoned cluster is retained in the same way, with `retainOnDelete`. When it is removed from the stack file, Pulumi
drops its resources from the state without contacting the cluster
(https://www.pulumi.com/docs/iac/concepts/resources/options/retainondelete/).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pulumi

from components.cluster import Cluster
from components.sdk.resource_registry import ResourceRegistry
from mesh.pulumi_constants import KUBERNETES_PROVIDER_TYPE, STACK_TYPE
from mesh.stack_state import StateResource

# Component with children on several clusters; some of these clusters may be reachable.
_SHARED_COMPONENT_TYPE = "multicluster-mesh:index:ClusterMesh"
# Dynamic resources have no Kubernetes provider. An input of each contains the name of its cluster. A mirror of an
# exported service has two clusters; it can be dropped as soon as the exporting one is abandoned.
_CLUSTER_INPUTS = {
    "MirrorCleanup": "source",
    "ExportCleanup": "target",
    "ServiceExport": "cluster",
    "ObjectMetadata": "cluster",
    "ProxyCleanup": "cluster",
    "RetainedCrds": "cluster",
    "ReleaseDrift": "cluster",
    "NamespaceDeletion": "cluster",
}


def select_resources_to_retain(resources: Sequence[StateResource], clusters: Iterable[str]) -> list[StateResource]:
    """Return the resources of a stack state that must stay unchanged.

    Args:
        resources: resources of the state, parents before their children.
        clusters: names of the clusters that cannot be reached.
    """
    by_urn = {resource.urn: resource for resource in resources}
    unreachable = set(clusters)
    retained: set[str] = set()
    for resource in resources:
        if _cluster_of(resource, by_urn) not in unreachable:
            continue
        retained.add(resource.urn)
        parent = by_urn.get(resource.parent or "")
        while parent is not None and parent.type != STACK_TYPE:
            retained.add(parent.urn)
            parent = by_urn.get(parent.parent or "")
    for resource in resources:
        if resource.parent in retained and by_urn[resource.parent].type != _SHARED_COMPONENT_TYPE:
            retained.add(resource.urn)
    return [resource for resource in resources if resource.urn in retained and not resource.is_external]


def register_unchanged(
    resources: Sequence[StateResource], clusters: Mapping[str, Cluster], registry: ResourceRegistry
) -> list[str]:
    """Register the resources of unreachable clusters as the state has them.

    Args:
        resources: resources of the state, parents before their children.
        clusters: all clusters of the mesh, by name.
        registry: registry of all other resources, which must be registered before.

    Returns:
        Names of the retained resources.
    """
    by_urn = {resource.urn: resource for resource in resources}
    unreachable = [name for name, cluster in clusters.items() if not cluster.settings.reachable]
    abandoned = {name for name in unreachable if clusters[name].settings.is_abandoned}
    # The program has already registered the shared components that the settings still require.
    retained = [each for each in select_resources_to_retain(resources, unreachable) if registry.find(each) is None]
    for resource in retained:
        parent = by_urn.get(resource.parent or "")
        options = pulumi.ResourceOptions(parent=registry.find(parent))
        if not resource.is_custom:
            pulumi.ComponentResource(resource.type, resource.name, None, options)
            continue
        dependencies = [registry.find(by_urn.get(urn)) for urn in resource.dependencies]
        unchanged = pulumi.ResourceOptions(
            # Hidden dependencies: all of them, because the resource is registered without its inputs.
            depends_on=[dependency for dependency in dependencies if dependency is not None],
            ignore_changes=["*"],
            additional_secret_outputs=list(resource.secret_outputs),
            retain_on_delete=_cluster_of(resource, by_urn) in abandoned or None,
        )
        state_provider = by_urn.get(resource.provider or "")
        provider = registry.find(state_provider)
        if isinstance(provider, pulumi.ProviderResource):
            unchanged.provider = provider
        elif state_provider is not None:
            unchanged.version = state_provider.inputs.get("version")
        pulumi.CustomResource(resource.type, resource.name, {}, pulumi.ResourceOptions.merge(options, unchanged))
    return [resource.name for resource in retained]


def _cluster_of(resource: StateResource, by_urn: Mapping[str, StateResource]) -> str | None:
    """Return the name of the cluster that a resource is on, if it is on one."""
    provider = by_urn.get(resource.provider or "")
    if provider is not None and provider.type == KUBERNETES_PROVIDER_TYPE:
        return provider.name
    key = _CLUSTER_INPUTS.get(resource.type.rpartition(":")[2])
    return resource.inputs.get(key) if key is not None else None
