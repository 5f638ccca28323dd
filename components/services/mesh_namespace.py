"""Namespaces of samples and declared services, and the dependencies of the pods in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.cluster import Cluster
from components.linkerd.link import ClusterLink
from components.mesh_cluster import MeshCluster
from components.namespace import create_namespace
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import create_pull_secret
from components.services.namespace_membership import create_namespace_membership, create_namespace_restart
from mesh import config
from mesh.config.models.links import SelectorsConfig
from mesh.kube.constants import INJECT_ANNOTATION
from mesh.service_facts import ClusterFacts
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
    """A namespace with samples or declared services on one cluster."""

    mesh_cluster: MeshCluster
    name: str
    component: NamespaceComponent | None  # None if the program neither creates nor annotates the namespace
    incoming_links: Sequence[IncomingLink]
    outgoing_links: Sequence[Link]
    links: Mapping[Link, ClusterLink]  # the links between reachable clusters
    uid: str = ""  # UID of a namespace of another owner

    @property
    def cluster(self) -> Cluster:
        """Return the cluster of the namespace."""
        return self.mesh_cluster.cluster

    @property
    def name_output(self) -> pulumi.Input[str]:
        """Return the name, known once the namespace exists."""
        return self.component.name if self.component is not None else self.name

    @property
    def resources(self) -> Sequence[pulumi.Resource]:
        """Return the resources after which the namespace exists."""
        return [self.component] if self.component is not None else []

    @property
    def pod_dependencies(self) -> Sequence[pulumi.Resource]:
        """Return the resources that must exist before a pod of the program."""
        pull_secrets = self.component.pull_secrets if self.component is not None else []
        return [*self.mesh_cluster.pod_dependencies, *pull_secrets]

    @property
    def joined(self) -> Sequence[pulumi.Resource]:
        """Return the resources after which the workloads of other owners have joined the mesh."""
        return self.component.joined if self.component is not None else []

    def join_mesh(self, policies: Sequence[pulumi.Resource]) -> None:
        """Annotate a namespace of another owner, and restart the workloads if requested.

        Args:
            policies: policies in the namespace, which exist before its proxies obey its default policy, and until its
                proxies are gone.
        """
        if self.component is not None:
            self.component.join_mesh(policies)


@dataclass(frozen=True, kw_only=True)
class _NamespaceUse:
    """The parts of a stack file that use a namespace on one cluster."""

    samples: Sequence[config.Sample]
    declared: config.DeclaredNamespace | None
    found_uid: str = ""  # UID of the namespace, if the checks have found it

    @property
    def is_created(self) -> bool:
        """Return whether the program creates the namespace."""
        is_requested = self.declared is not None and self.declared.config.create
        return bool(self.samples) or is_requested

    @property
    def uid(self) -> str:
        """Return the UID of a namespace of another owner."""
        return "" if self.is_created else self.found_uid

    def annotations(self, *, has_linkerd: bool) -> dict[str, str]:
        """Return the annotations of the namespace."""
        is_injected = has_linkerd and bool(self.samples) and all(sample.config.meshed for sample in self.samples)
        default = {INJECT_ANNOTATION: "enabled"} if is_injected else {}
        return {**default, **(self.declared.annotations if self.declared is not None else {})}


class NamespaceComponent(pulumi.ComponentResource):
    """A namespace for samples or declared services: its membership in the mesh, and the samples' image pull secret.

    The constructor creates the namespace, and `join_mesh` makes it a member, after the policies in it.

    Args:
        mesh_cluster: cluster of the namespace.
        namespace: name of the namespace.
        use: the parts of the stack file that use the namespace.
        has_linkerd: whether Linkerd runs on the cluster.
        opts: resource options.
    """

    name: pulumi.Input[str]
    pull_secrets: list[pulumi.Resource]
    joined: list[pulumi.Resource]

    def __init__(
        self,
        mesh_cluster: MeshCluster,
        namespace: str,
        use: _NamespaceUse,
        *,
        has_linkerd: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        cluster = mesh_cluster.cluster
        name = f"{cluster.name}-{namespace}"
        super().__init__("multicluster-mesh:index:Namespace", name, None, opts)
        self._mesh_cluster, self._namespace, self._use = mesh_cluster, namespace, use
        self._annotations = use.annotations(has_linkerd=has_linkerd)
        self._created: KubernetesObject | None = None
        child_options = cluster.options(self)
        aliases = _former_names(name, use.samples)
        self.name = namespace
        if use.is_created and namespace != DEFAULT_NAMESPACE:
            self._created = create_namespace(
                f"{name}-namespace",
                cluster,
                namespace,
                annotations=self._annotations,
                opts=pulumi.ResourceOptions.merge(child_options, aliases.get("namespace")),
            )
            self.name = self._created.name
        self.pull_secrets = []
        if use.samples:
            self.pull_secrets = create_pull_secret(
                f"{name}-pull-secret",
                cluster,
                self.name,
                pulumi.ResourceOptions.merge(child_options, aliases.get("pull-secret")),
            )
        self.joined = []
        self.register_outputs({})

    def join_mesh(self, policies: Sequence[pulumi.Resource]) -> None:
        """Annotate the namespace if another owner has created it, and restart its workloads if requested.

        Args:
            policies: policies in the namespace.
        """
        declared, cluster = self._use.declared, self._mesh_cluster.cluster
        if declared is None:
            return
        name = f"{cluster.name}-{self._namespace}"
        depends_on = [*self._mesh_cluster.pod_dependencies, *policies]
        if self._created is None:
            self.joined = create_namespace_membership(
                name,
                cluster,
                self._namespace,
                namespace_uid=self._use.uid,
                annotations=declared.annotations,
                meshed=declared.config.meshed,
                restart=declared.config.restart,
                parent=self,
                depends_on=depends_on,
            )
        elif declared.config.restart and declared.config.meshed is not None:
            restart = create_namespace_restart(
                f"{name}-restart",
                cluster,
                self._namespace,
                annotations=self._annotations,
                meshed=declared.config.meshed,
                parent=self,
                depends_on=[*depends_on, self._created],
            )
            self.joined = [restart]


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
    facts: ClusterFacts,
    clusters: Mapping[str, Cluster],
    mesh_clusters: Mapping[str, MeshCluster],
    links: Mapping[Link, ClusterLink],
) -> dict[tuple[str, str], MeshNamespace]:
    """Return each namespace with samples or declared services on a reachable cluster; some of them are created.

    Args:
        stack: settings of the stack.
        facts: facts about the clusters.
        clusters: all clusters, by name.
        mesh_clusters: the reachable clusters, by name.
        links: the links between reachable clusters.

    Returns:
        The namespaces, by the names of their cluster and of the namespace.
    """
    return {
        (cluster, namespace): _create_mesh_namespace(mesh_clusters[cluster], namespace, use, stack, clusters, links)
        for (cluster, namespace), use in _list_uses(stack, facts).items()
        if cluster in mesh_clusters
    }


def _list_uses(stack: config.Settings, facts: ClusterFacts) -> dict[tuple[str, str], _NamespaceUse]:
    samples: dict[tuple[str, str], list[config.Sample]] = {}
    for sample in stack.samples:
        for cluster in sample.all_clusters:
            samples.setdefault((cluster, sample.config.namespace), []).append(sample)
    declared = {
        (cluster, namespace.name): namespace
        for namespace in stack.namespaces
        for cluster in namespace.clusters
        # An optional namespace can be missing.
        if namespace.config.create or (cluster, namespace.name) in facts.namespaces
    }
    services = {(cluster, service.namespace): None for service in stack.services for cluster in service.clusters}
    return {
        key: _NamespaceUse(
            samples=samples.get(key, ()), declared=declared.get(key), found_uid=facts.namespaces.get(key, "")
        )
        for key in {**samples, **declared, **services}
    }


def _create_mesh_namespace(
    mesh_cluster: MeshCluster,
    namespace: str,
    use: _NamespaceUse,
    stack: config.Settings,
    clusters: Mapping[str, Cluster],
    links: Mapping[Link, ClusterLink],
) -> MeshNamespace:
    component = None
    if use.samples or use.declared is not None:
        component = NamespaceComponent(mesh_cluster, namespace, use, has_linkerd=stack.has_linkerd)
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
        incoming_links=incoming_links,
        outgoing_links=[link for link in stack.links if link.source == mesh_cluster.cluster.name],
        links=links,
        uid=use.uid,
    )
