"""What stays as it is because its cluster can't be reached.

A resource that the program doesn't ask for is deleted by Pulumi, and one that it does ask for is compared with its
cluster. So what the state has of an unreachable cluster is asked for once more, exactly as it was, by its type and
name, with all changes to it ignored; what it has not is left for the time when the cluster is back.

Kept are the resources of such a cluster, the components around them, and all that those hold: of a link, that is the
other end too. Only in what all clusters share, a ClusterMesh, the others' parts aren't. A cluster that won't come back
is kept likewise, marked so that its removal from the stack file takes its resources out of the state without asking it
(https://www.pulumi.com/docs/iac/concepts/resources/options/retainondelete/).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pulumi

from components.cluster import Cluster
from components.sdk.resource_registry import ResourceRegistry
from mesh.stack_state import StateResource

_PROVIDER_TYPE_PREFIX = "pulumi:providers:"
_STACK_TYPE = "pulumi:pulumi:Stack"
# Components around what belongs to several clusters, each of which may be there or not.
_SHARED_COMPONENT_TYPE = "multicluster-mesh:index:ClusterMesh"


def resources_to_retain(resources: Sequence[StateResource], clusters: Iterable[str]) -> list[StateResource]:
    """Those resources of a state that stay as they are.

    Args:
        resources: the state's.
        clusters: names of the clusters that can't be reached.
    """
    by_urn = {resource.urn: resource for resource in resources}
    away = set(clusters)
    kept: set[str] = set()
    for resource in resources:
        if _cluster_of(resource, by_urn) not in away:
            continue
        kept.add(resource.urn)
        parent = by_urn.get(resource.parent or "")
        while parent is not None and parent.type != _STACK_TYPE:
            kept.add(parent.urn)
            parent = by_urn.get(parent.parent or "")
    # Parents come before their children.
    for resource in resources:
        if resource.parent in kept and by_urn[resource.parent].type != _SHARED_COMPONENT_TYPE:
            kept.add(resource.urn)
    return [resource for resource in resources if resource.urn in kept and not resource.external]


def register_unchanged(
    resources: Sequence[StateResource], clusters: Mapping[str, Cluster], registered: ResourceRegistry
) -> list[str]:
    """Ask once more for what belongs to clusters that can't be reached.

    Args:
        resources: the state's.
        clusters: all clusters of the mesh, by name.
        registered: what has been asked for so far: all that isn't kept.

    Returns:
        The names of the resources that are kept.
    """
    by_urn = {resource.urn: resource for resource in resources}
    away = [name for name, cluster in clusters.items() if not cluster.settings.reachable]
    forgotten = {name for name in away if clusters[name].settings.abandoned}
    found = resources_to_retain(resources, away)
    # What is shared is asked for already, unless nobody wants it any more.
    found = [resource for resource in found if registered.find(resource) is None]
    for resource in found:
        parent = by_urn.get(resource.parent or "")
        options = pulumi.ResourceOptions(parent=registered.find(parent))
        if not resource.custom:
            pulumi.ComponentResource(resource.type, resource.name, None, options)
            continue
        provider = by_urn.get(resource.provider or "")
        before = [registered.find(by_urn.get(urn)) for urn in resource.dependencies]
        kept = pulumi.ResourceOptions(
            depends_on=[dependency for dependency in before if dependency is not None],
            ignore_changes=["*"],
            additional_secret_outputs=list(resource.secret_outputs),
            retain_on_delete=_cluster_of(resource, by_urn) in forgotten or None,
        )
        own = registered.find(provider)
        if isinstance(own, pulumi.ProviderResource):
            kept.provider = own
        elif provider is not None:
            kept.version = provider.inputs.get("version")
        pulumi.CustomResource(resource.type, resource.name, {}, pulumi.ResourceOptions.merge(options, kept))
    return [resource.name for resource in found]


def _cluster_of(resource: StateResource, by_urn: Mapping[str, StateResource]) -> str | None:
    """The cluster that a resource is something on."""
    provider = by_urn.get(resource.provider or "")
    if provider is not None and provider.type == f"{_PROVIDER_TYPE_PREFIX}kubernetes":
        return provider.name
    # These have no Kubernetes provider, and say themselves where they are: the mirror services of a link, CRDs that
    # Helm leaves, what Helm has made, and what a target exports, after which nobody needs to look any more when the
    # target is forgotten.
    kind = resource.type.rpartition(":")[2]
    end = {
        "MirrorCleanup": "source",
        "ExportCleanup": "target",
        "RetainedCrds": "cluster",
        "ReleaseDrift": "cluster",
    }.get(kind)
    return resource.inputs.get(end) if end is not None else None
