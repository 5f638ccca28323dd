"""Transformation that gives each resource the properties and options that follow from its cluster's identity.

* Each Kubernetes object has the stack's ID and the cluster's UID in annotations.
* A resource of a renamed cluster has its former URN as an alias, so Pulumi keeps it (`components.renamed_resources`).
* If a cluster was rebuilt, its UID changes all objects in the stack state (`components.rebuilt_objects`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi

from components.rebuilt_objects import create_missing_object_binding, is_on_former_cluster
from components.renamed_resources import list_aliases
from mesh import config
from mesh.kube.constants import CLUSTER_UID_ANNOTATION, STACK_ID_ANNOTATION
from mesh.kube.object_path import object_key
from mesh.pulumi_constants import HELM_RELEASE_TYPE, UNKNOWN_VALUE
from mesh.stack_state import StateResource

if TYPE_CHECKING:
    from components.cluster import Cluster
    from components.identity import ClusterIdentity


class IdentityTransformation:
    """Transformation that gives each resource the properties and options that follow from its cluster's identity.

    Args:
        state: the resources of the stack state.
        stack: settings of the stack.
    """

    def __init__(self, state: Sequence[StateResource], stack: config.Settings) -> None:
        renamed = {cluster.renamed_from: cluster.name for cluster in stack.clusters if cluster.renamed_from is not None}
        self._aliases = list_aliases(state, renamed)
        self._by_urn = {resource.urn: resource for resource in state}
        self._by_name = {(resource.type, resource.name): resource for resource in state}
        self._clusters: dict[pulumi.ProviderResource, Cluster] = {}
        pulumi.runtime.register_stack_transformation(self._transform)

    def add_cluster(self, cluster: Cluster) -> None:
        """Add a cluster, before any resource that uses its provider."""
        self._clusters[cluster.provider] = cluster

    def _transform(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        aliases = self._aliases.get((args.type_, args.name), [])
        cluster = self._find_cluster(args)
        if not aliases and cluster is None:
            return None
        former = next((self._by_urn[urn] for urn in aliases), self._by_name.get((args.type_, args.name)))
        props, options = args.props, pulumi.ResourceOptions(aliases=list(aliases) or None)
        if cluster is not None:
            is_missing = former is not None and is_on_former_cluster(former.inputs, cluster.identity.uid)
            props = _with_identity(args.props, cluster.identity, is_missing=is_missing)
            if is_missing:
                options.hooks = create_missing_object_binding(args.name, cluster)
        return pulumi.ResourceTransformationResult(props, pulumi.ResourceOptions.merge(args.opts, options))

    def _find_cluster(self, args: pulumi.ResourceTransformationArgs) -> Cluster | None:
        """Return the cluster of a Kubernetes object; None for other resources, and for objects that are only read."""
        is_object = args.type_.startswith("kubernetes:") and args.type_ != HELM_RELEASE_TYPE
        if not is_object or args.opts.id is not None or not isinstance(args.props.get("metadata"), dict):
            return None
        provider = args.opts.provider
        if provider is None and args.opts.parent is not None:
            provider = args.opts.parent.get_provider(args.type_)
        return self._clusters.get(provider) if provider is not None else None


def manifest_transform(
    cluster: Cluster, adapt: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _, props: props
) -> Callable[[pulumi.ResourceTransformArgs], pulumi.ResourceTransformResult]:
    """Return a transform for a manifest's objects, which do not pass through `IdentityTransformation`.

    The provider registers them, and only the newer kind of transforms reaches them. Their aliases follow from the
    manifest's name.

    Args:
        cluster: the cluster of the manifest.
        adapt: returns other inputs for an object, from its type and its inputs.
    """

    def transform(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
        props, options = adapt(args.type_, dict(args.props)), args.opts
        if isinstance(props.get("metadata"), dict) and "kind" in props:
            is_missing = object_key(props) in cluster.identity.former_objects
            props = _with_identity(props, cluster.identity, is_missing=is_missing)
            if is_missing:
                binding = create_missing_object_binding(args.name, cluster)
                options = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(hooks=binding))
        return pulumi.ResourceTransformResult(props=props, opts=options)

    return transform


def _with_identity(props: Mapping[str, Any], identity: ClusterIdentity, *, is_missing: bool) -> dict[str, Any]:
    """Return an object's properties with the annotations of its stack and its cluster."""
    annotations = {STACK_ID_ANNOTATION: identity.stack_id}
    if identity.uid is not None:
        # With an unknown value, Pulumi does not ask the cluster to preview the update of a missing object.
        is_unknown = is_missing and pulumi.runtime.is_dry_run()
        annotations[CLUSTER_UID_ANNOTATION] = UNKNOWN_VALUE if is_unknown else identity.uid
    metadata = props["metadata"]
    return {**props, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **annotations}}}
