"""One service mesh out of the clusters that a stack file names."""

from __future__ import annotations

import pulumi

import settings
import topology
from components.cluster import connect
from components.link import ClusterLink, Member
from components.linkerd import Linkerd
from components.multicluster import Multicluster
from components.trust import Trust
from components.workloads.podinfo import Podinfo

try:
    stack = settings.load()
except settings.SettingsError as error:
    raise pulumi.RunError(str(error)) from None

targets = topology.targets(stack.links)
trust = Trust("trust")
members: dict[str, Member] = {}
for configured in stack.clusters:
    cluster = connect(configured)
    linkerd = Linkerd(cluster, stack.linkerd, stack.charts, trust)
    multicluster = Multicluster(cluster, linkerd, stack.linkerd, stack.charts, target=cluster.name in targets)
    members[cluster.name] = Member(cluster=cluster, linkerd=linkerd, multicluster=multicluster)

links = {link: ClusterLink(link, members[link.source], members[link.target], stack.linkerd) for link in stack.links}

for sample in stack.podinfo:
    for name in sample.clusters:
        Podinfo(members[name].cluster, sample, members[name].linkerd)

pulumi.export(
    "clusters",
    {
        name: {
            "context": member.cluster.settings.context.name,
            "linkerd": stack.linkerd.tag,
            "charts": {
                "linkerd-crds": stack.linkerd.crds,
                "linkerd-control-plane": stack.linkerd.control_plane,
                "linkerd-multicluster": stack.linkerd.multicluster,
            },
        }
        for name, member in members.items()
    },
)
pulumi.export("links", {link.name: made.spec for link, made in links.items()})
pulumi.export(
    "certificateExpiry",
    {
        "trustAnchor": trust.anchor.expires,
        "webhookAuthority": trust.webhooks.expires,
        "issuers": {name: member.linkerd.issuer.expires for name, member in members.items()},
        "webhooks": {name: member.linkerd.webhooks.expires for name, member in members.items()},
    },
)
pulumi.export("topology", topology.mermaid(members, stack.links))
