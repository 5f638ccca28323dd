"""The services of a stack: samples, and services that others deploy."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.cluster import Cluster
from components.linkerd.link import ClusterLink
from components.mesh_cluster import MeshCluster
from components.services.declared_service import DeclaredServiceComponent
from components.services.exports import Exports
from components.services.mesh_namespace import create_namespaces
from components.services.proxy_metrics_access import ProxyMetricsAccess
from components.services.traffic_component import TrafficComponent
from components.workloads.samples import create_samples
from mesh import config
from mesh.service_facts import ClusterFacts
from mesh.topology import Link


def deploy_services(
    stack: config.Settings,
    facts: ClusterFacts,
    clusters: Mapping[str, Cluster],
    mesh_clusters: Mapping[str, MeshCluster],
    links: Mapping[Link, ClusterLink],
) -> None:
    """Deploy the samples, and export, route and protect all services on the reachable clusters.

    Args:
        stack: settings of the stack.
        facts: facts about the clusters.
        clusters: all clusters, by name.
        mesh_clusters: the reachable clusters, by name.
        links: the links between reachable clusters.
    """
    namespaces = create_namespaces(stack, facts, clusters, mesh_clusters, links)
    components: list[TrafficComponent] = [*create_samples(stack.samples, namespaces)]
    components += [
        DeclaredServiceComponent(
            namespaces[cluster, service.namespace], service, live, stack, pending=_find_pending(stack, facts, service)
        )
        for service in stack.services
        for cluster in service.clusters
        # An optional service can be missing.
        if cluster in mesh_clusters
        and (live := facts.services.get((cluster, service.namespace, service.name))) is not None
    ]
    components += [
        ProxyMetricsAccess(namespaces[cluster, namespace])
        for cluster, mesh_cluster in mesh_clusters.items()
        for namespace in stack.list_namespaces_without_metrics(mesh_cluster.cluster.settings)
        # An optional namespace can be missing.
        if (cluster, namespace) in namespaces
    ]
    # A namespace's default policy can refuse what these policies allow, so its proxies come later.
    policies: dict[tuple[str, str], list[pulumi.Resource]] = {key: [] for key in namespaces}
    for component in components:
        policies[component.cluster.name, component.namespace.name] += component.create_policies()
    for key, namespace in namespaces.items():
        namespace.join_mesh(policies[key])
    # A route can name a service of any other cluster, so all exports precede the routes.
    exports = Exports()
    for component in components:
        component.export_services(exports, namespaces)
    for component in components:
        component.create_traffic_rules(exports)


def _find_pending(stack: config.Settings, facts: ClusterFacts, service: config.DeclaredService) -> list[str]:
    """Return the reachable clusters that do not have an optional service yet."""
    reachable = [cluster for cluster in service.clusters if cluster not in stack.unreachable_clusters]
    return [cluster for cluster in reachable if (cluster, service.namespace, service.name) not in facts.services]
