"""Namespaces of samples, and the dependencies of the pods in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.cluster import Cluster
from components.linkerd.link import ClusterLink
from components.mesh_cluster import MeshCluster
from components.namespace import create_namespace
from components.sdk.secrets import create_pull_secret
from mesh import config
from mesh.config.models.links import SelectorsConfig
from mesh.topology import Link

# Every cluster has this namespace, so no stack owns it.
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, kw_only=True)
class IncomingLink:
    """A link to a cluster, and its source, which mirrors the cluster's exported services."""

    link: Link
    source: Cluster
    component: ClusterLink | None  # None while one of the link's clusters cannot be reached
    selectors: SelectorsConfig  # labels of the services that the link mirrors


@dataclass(frozen=True, kw_only=True)
class MeshNamespace:
    """A namespace with samples on one cluster."""

    mesh_cluster: MeshCluster
    name: str
    component: NamespaceComponent
    name_output: pulumi.Input[str]  # the name, known once the namespace exists
    pod_dependencies: Sequence[pulumi.Resource]
    incoming_links: Sequence[IncomingLink]
    outgoing_links: Sequence[Link]
    links: Mapping[Link, ClusterLink]  # the links between reachable clusters

    @property
    def cluster(self) -> Cluster:
        """Return the cluster of the namespace."""
        return self.mesh_cluster.cluster


class NamespaceComponent(pulumi.ComponentResource):
    """A namespace for samples, with the stack's image pull secret.

    Args:
        cluster: cluster of the namespace.
        namespace: name of the namespace.
        samples: samples in the namespace.
        has_linkerd: whether Linkerd runs on the cluster.
        opts: resource options.
    """

    name: pulumi.Input[str]
    pull_secrets: list[pulumi.Resource]

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        samples: Sequence[config.Sample],
        *,
        has_linkerd: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-{namespace}"
        super().__init__("multicluster-mesh:index:Namespace", name, None, opts)
        child_options = cluster.options(self)
        aliases = _former_names(name, samples)
        if namespace == DEFAULT_NAMESPACE:
            self.name = namespace
        else:
            is_injected = has_linkerd and all(sample.config.meshed for sample in samples)
            created = create_namespace(
                f"{name}-namespace",
                cluster,
                namespace,
                annotations={"linkerd.io/inject": "enabled"} if is_injected else {},
                opts=pulumi.ResourceOptions.merge(child_options, aliases.get("namespace")),
            )
            self.name = created.name
        self.pull_secrets = create_pull_secret(
            f"{name}-pull-secret",
            cluster,
            self.name,
            pulumi.ResourceOptions.merge(child_options, aliases.get("pull-secret")),
        )
        self.register_outputs({})


def _former_names(name: str, samples: Sequence[config.Sample]) -> dict[str, pulumi.ResourceOptions]:
    """Return aliases for stacks from the time when podinfo was the only sample and created its own namespace."""
    if all(sample.name != "podinfo" for sample in samples):
        return {}
    parent = pulumi.create_urn(f"{name}-podinfo", "multicluster-mesh:index:Podinfo")
    return {
        role: pulumi.ResourceOptions(aliases=[pulumi.Alias(name=f"{name}-podinfo-{role}", parent=parent)])
        for role in ("namespace", "pull-secret")
    }


def create_namespaces(
    stack: config.Settings,
    clusters: Mapping[str, Cluster],
    mesh_clusters: Mapping[str, MeshCluster],
    links: Mapping[Link, ClusterLink],
) -> dict[tuple[str, str], MeshNamespace]:
    """Create each namespace with samples on a reachable cluster.

    Args:
        stack: settings of the stack.
        clusters: all clusters, by name.
        mesh_clusters: the reachable clusters, by name.
        links: the links between reachable clusters.

    Returns:
        The namespaces, by the names of their cluster and of the namespace.
    """
    samples_by_namespace: dict[tuple[str, str], list[config.Sample]] = {}
    for sample in stack.samples:
        for cluster in sample.all_clusters:
            if cluster in mesh_clusters:
                samples_by_namespace.setdefault((cluster, sample.config.namespace), []).append(sample)
    return {
        (cluster, namespace): _create_mesh_namespace(mesh_clusters[cluster], namespace, samples, stack, clusters, links)
        for (cluster, namespace), samples in samples_by_namespace.items()
    }


def _create_mesh_namespace(
    mesh_cluster: MeshCluster,
    namespace: str,
    samples: Sequence[config.Sample],
    stack: config.Settings,
    clusters: Mapping[str, Cluster],
    links: Mapping[Link, ClusterLink],
) -> MeshNamespace:
    component = NamespaceComponent(mesh_cluster.cluster, namespace, samples, has_linkerd=stack.has_linkerd)
    # Links from unreachable clusters are included: a cluster that becomes unreachable must change nothing here.
    incoming_links = [
        IncomingLink(
            link=link,
            source=clusters[link.source],
            component=links.get(link),
            selectors=stack.options(link).selectors,
        )
        for link in stack.links
        if link.target == mesh_cluster.cluster.name
    ]
    return MeshNamespace(
        mesh_cluster=mesh_cluster,
        name=namespace,
        component=component,
        name_output=component.name,
        pod_dependencies=[*mesh_cluster.pod_dependencies, *component.pull_secrets],
        incoming_links=incoming_links,
        outgoing_links=[link for link in stack.links if link.source == mesh_cluster.cluster.name],
        links=links,
    )
