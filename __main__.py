"""One service mesh out of the clusters that a stack file names."""

from __future__ import annotations

import pulumi

import outputs
import preflight
import recorded
import settings
import topology
from components import multicluster
from components.cluster import connect, manager
from components.kept import Registered, keep
from components.link import ClusterLink, Member
from components.linkerd import Linkerd
from components.multicluster import Multicluster
from components.trust import Trust
from components.workloads.podinfo import Podinfo

try:
    stack = settings.load()
    preflight.require(
        stack,
        owner=manager(),
        namespaces=[multicluster.NAMESPACE],
        updating=not pulumi.runtime.is_dry_run(),
        warn=pulumi.log.warn,
    )
    made = recorded.own() if stack.away else []
except (settings.SettingsError, preflight.PreflightError, recorded.RecordError) as error:
    raise pulumi.RunError(str(error)) from None

registered = Registered() if stack.away else None
clusters = {cluster.name: connect(cluster, stack.image_pull_secret) for cluster in stack.clusters}
trust = Trust("trust", stack.trust, stack.trust_domain)
targets = topology.targets(stack.links)
members: dict[str, Member] = {}
for name, cluster in clusters.items():
    if cluster.settings.reachable:
        linkerd = Linkerd(cluster, stack.charts, trust)
        extension = Multicluster(cluster, linkerd, stack.charts, target=name in targets)
        members[name] = Member(cluster=cluster, linkerd=linkerd, multicluster=extension)

links = {
    link: ClusterLink(link, members[link.source], members[link.target])
    for link in stack.links
    if {link.source, link.target} <= members.keys()
}

for sample in stack.podinfo:
    for name in sample.clusters:
        if name in members:
            Podinfo(clusters[name], sample, members[name].linkerd)

kept = keep(made, clusters, registered) if registered is not None else []
outputs.export(stack, trust, members, links, kept)
