"""The samples of a stack, each where it is wanted."""

from __future__ import annotations

from collections.abc import Mapping

from components.cluster import Cluster
from components.linkerd.link import ClusterLink
from components.mesh_cluster import MeshCluster
from components.workloads.booksapp import Booksapp
from components.workloads.emojivoto import Emojivoto
from components.workloads.helloworld import Helloworld
from components.workloads.podinfo import Podinfo
from components.workloads.sample_namespace import create_sample_namespaces
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
    members: Mapping[str, MeshCluster],
    links: Mapping[Link, ClusterLink],
) -> None:
    """All samples of a stack, on the clusters that can be reached.

    Args:
        stack: the settings.
        clusters: all clusters.
        members: those that can be reached.
        links: the links between those.
    """
    found = create_sample_namespaces(stack, clusters, members, links)
    for sample in stack.samples:
        for cluster in sample.all_clusters:
            if cluster in members:
                _COMPONENTS[sample.name](found[cluster, sample.part.namespace], sample)
