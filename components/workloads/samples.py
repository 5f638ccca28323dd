"""Samples of a stack."""

from __future__ import annotations

from collections.abc import Mapping

from components.cluster import Cluster
from components.linkerd.link import ClusterLink
from components.mesh_cluster import MeshCluster
from components.services.exports import Exports
from components.services.mesh_namespace import create_namespaces
from components.workloads.booksapp import Booksapp
from components.workloads.emojivoto import Emojivoto
from components.workloads.helloworld import Helloworld
from components.workloads.podinfo import Podinfo
from components.workloads.userlist import Userlist
from mesh import config
from mesh.topology import Link

_COMPONENTS = {
    "podinfo": Podinfo,
    "helloworld": Helloworld,
    "booksapp": Booksapp,
    "emojivoto": Emojivoto,
    "userlist": Userlist,
}


def deploy_samples(
    stack: config.Settings,
    clusters: Mapping[str, Cluster],
    mesh_clusters: Mapping[str, MeshCluster],
    links: Mapping[Link, ClusterLink],
) -> None:
    """Deploy each sample of a stack on its reachable clusters.

    Args:
        stack: settings of the stack.
        clusters: all clusters, by name.
        mesh_clusters: the reachable clusters, by name.
        links: the links between reachable clusters.
    """
    namespaces = create_namespaces(stack, clusters, mesh_clusters, links)
    components = [
        _COMPONENTS[sample.name](namespaces[cluster, sample.config.namespace], sample)
        for sample in stack.samples
        for cluster in sample.all_clusters
        if cluster in mesh_clusters
    ]
    # A route can name a service of any other cluster, so all exports precede the routes.
    exports = Exports()
    for component in components:
        component.export_services(exports, namespaces)
    for component in components:
        component.create_traffic_rules(exports)
