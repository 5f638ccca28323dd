"""The samples of a stack, each where it is wanted."""

from __future__ import annotations

from collections.abc import Mapping

from components.cluster import Cluster
from components.linkerd.link import ClusterLink
from components.mesh_cluster import Member
from components.workloads.booksapp import Booksapp
from components.workloads.emojivoto import Emojivoto
from components.workloads.helloworld import Helloworld
from components.workloads.podinfo import Podinfo
from components.workloads.sample_namespace import places
from components.workloads.userlist import Userlist
from mesh import config
from mesh.topology import Link

_KINDS = {
    "podinfo": Podinfo,
    "helloworld": Helloworld,
    "booksapp": Booksapp,
    "emojivoto": Emojivoto,
    "userlist": Userlist,
}


def run(
    stack: config.Settings,
    clusters: Mapping[str, Cluster],
    members: Mapping[str, Member],
    links: Mapping[Link, ClusterLink],
) -> None:
    """All samples of a stack, on the clusters that can be reached.

    Args:
        stack: the settings.
        clusters: all clusters.
        members: those that can be reached.
        links: the links between those.
    """
    found = places(stack, clusters, members, links)
    for sample in stack.samples:
        for cluster in sample.everywhere:
            if cluster in members:
                _KINDS[sample.name](found[cluster, sample.part.namespace], sample)
