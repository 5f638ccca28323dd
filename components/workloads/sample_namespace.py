"""Where samples go: a namespace on one cluster, with what must be there before a pod in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.cluster import Cluster
from components.linkerd.link import ClusterLink
from components.mesh_cluster import MeshCluster
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import create_pull_secret
from mesh import config
from mesh.topology import Link

# What every cluster has, and no stack owns.
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, kw_only=True)
class IncomingLink:
    """A link to a cluster, as what is exported from there sees it."""

    link: Link
    source: Cluster
    component: ClusterLink | None  # None: one of its ends isn't there


@dataclass(frozen=True, kw_only=True)
class SampleNamespace:
    """A namespace on one cluster, as samples see it."""

    mesh_cluster: MeshCluster
    namespace: pulumi.Input[str]
    name: str  # the namespace's
    ready: Sequence[pulumi.Resource]  # what must be there before a pod
    incoming_links: Sequence[IncomingLink]  # the links to here

    @property
    def cluster(self) -> Cluster:
        """The cluster that it is on."""
        return self.mesh_cluster.cluster


class NamespaceComponent(pulumi.ComponentResource):
    """A namespace for samples on one cluster, with the stack's credentials for images.

    Args:
        cluster: where it is.
        namespace: its name.
        samples: those that go there.
        linkerd: whether Linkerd is on the cluster.
        opts: the usual resource options.
    """

    name: pulumi.Input[str]
    credentials: list[pulumi.Resource]

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        samples: Sequence[config.Sample],
        *,
        linkerd: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-{namespace}"
        super().__init__("multicluster-mesh:index:Namespace", name, None, opts)
        child = cluster.options(self)
        aliases = _aliases(name, samples)
        if namespace == DEFAULT_NAMESPACE:
            self.name = namespace
        else:
            inject = linkerd and all(sample.part.meshed for sample in samples)
            meshed = {"linkerd.io/inject": "enabled"} if inject else {}
            self.name = KubernetesObject(
                f"{name}-namespace",
                "v1",
                "Namespace",
                metadata=cluster.namespace_metadata(namespace, annotations=meshed),
                opts=pulumi.ResourceOptions.merge(child, aliases.get("namespace")),
            ).name
        self.credentials = create_pull_secret(
            f"{name}-pull-secret",
            cluster,
            self.name,
            pulumi.ResourceOptions.merge(child, aliases.get("pull-secret")),
        )
        self.register_outputs({})


def _aliases(name: str, samples: Sequence[config.Sample]) -> dict[str, pulumi.ResourceOptions]:
    """What these were called when podinfo was the only sample, and a namespace its own."""
    if all(sample.name != "podinfo" for sample in samples):
        return {}
    parent = pulumi.create_urn(f"{name}-podinfo", "multicluster-mesh:index:Podinfo")
    return {
        role: pulumi.ResourceOptions(aliases=[pulumi.Alias(name=f"{name}-podinfo-{role}", parent=parent)])
        for role in ("namespace", "pull-secret")
    }


def create_sample_namespaces(
    stack: config.Settings,
    clusters: Mapping[str, Cluster],
    members: Mapping[str, MeshCluster],
    links: Mapping[Link, ClusterLink],
) -> dict[tuple[str, str], SampleNamespace]:
    """Every namespace with samples on a cluster that can be reached, by the names of both.

    Args:
        stack: the settings.
        clusters: all clusters.
        members: those that can be reached.
        links: the links between those.
    """
    found: dict[tuple[str, str], list[config.Sample]] = {}
    for sample in stack.samples:
        for name in sample.all_clusters:
            if name in members:
                found.setdefault((name, sample.part.namespace), []).append(sample)
    return {
        (name, namespace): _sample_namespace(members[name], namespace, samples, stack, clusters, links)
        for (name, namespace), samples in found.items()
    }


def _sample_namespace(
    member: MeshCluster,
    namespace: str,
    samples: Sequence[config.Sample],
    stack: config.Settings,
    clusters: Mapping[str, Cluster],
    links: Mapping[Link, ClusterLink],
) -> SampleNamespace:
    made = NamespaceComponent(member.cluster, namespace, samples, linkerd=stack.linkerd)
    # Those that can't be reached as well: that they are away changes nothing here.
    inward = [link for link in stack.links if link.target == member.cluster.name]
    return SampleNamespace(
        mesh_cluster=member,
        namespace=made.name,
        name=namespace,
        ready=[*member.pod_dependencies, *made.credentials],
        incoming_links=[
            IncomingLink(link=link, source=clusters[link.source], component=links.get(link)) for link in inward
        ],
    )
