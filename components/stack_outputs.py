"""The stack's outputs: what is installed where, each link, when certificates expire, the picture, what is pending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cilium.clustermesh import CLUSTERMESH_OUTPUT as CLUSTERMESH
from components.cilium.clustermesh import ClusterMesh
from components.linkerd.dashboard_user import DashboardUser
from components.linkerd.link import ClusterLink
from components.linkerd.pki import Trust
from components.mesh_cluster import MeshCluster
from mesh import config, topology
from mesh.config import Settings
from mesh.topology import Link

# In place of a link's data, while one of its ends can't be reached.
PENDING = "pending"


def export_outputs(
    stack: Settings,
    trust: Trust | None,
    mesh: ClusterMesh | None,
    members: Mapping[str, MeshCluster],
    links: Mapping[Link, ClusterLink],
    user: DashboardUser | None,
    kept: Sequence[str],
) -> None:
    """Export them.

    Args:
        stack: the settings.
        trust: what Linkerd's mesh trusts; None where there is no Linkerd.
        mesh: the ClusterMesh, if there is one.
        members: the clusters that can be reached.
        links: the links between them.
        user: who may see dashboards, where there are any.
        kept: names of the resources that wait for a cluster to come back.
    """
    pulumi.export("clusters", {cluster.name: _cluster_output(cluster, stack) for cluster in stack.clusters})
    pulumi.export("links", {link.name: links[link].spec if link in links else PENDING for link in stack.links})
    for name in stack.unreachable_clusters:
        waiting = ", ".join(link.name for link in stack.links if name in (link.source, link.target))
        pulumi.log.warn(
            f"clusters.{name} is declared unreachable: it stays as it is; pending links: {waiting or 'none'}"
        )
    if kept:
        pulumi.log.info(f"{len(kept)} resources are kept unchanged until their cluster is back")
    expiry: dict[str, Any] = {}
    if trust is not None:
        expiry |= {
            "trustAnchor": trust.anchor.expires,
            "webhookAuthority": trust.webhooks.expires,
            "issuers": {name: member.linkerd.issuer_expires for name, member in members.items()},
            "webhooks": {name: member.webhooks_expire for name, member in members.items()},
        }
    if mesh is not None:
        expiry["ciliumAuthority"] = mesh.authority.signer.expires
        expiry["cilium"] = {name: cilium.expires for name, cilium in mesh.members.items()}
        told = {name: {"addresses": peer.addresses, "port": peer.port} for name, peer in mesh.peers.items()}
        pulumi.export(CLUSTERMESH, told)
    pulumi.export("certificateExpiry", expiry)
    if user is not None:
        pulumi.export("dashboards", {"clusters": stack.dashboards, "user": user.user})
        # By itself, so that no other output is a secret for its sake.
        pulumi.export("dashboardPassword", user.password)
    names = [cluster.name for cluster in stack.clusters]
    pulumi.export("topology", topology.mermaid(names, stack.links, pending=set(stack.links) - set(links)))


def _cluster_output(cluster: config.ClusterSettings, stack: Settings) -> dict[str, Any]:
    release, linkerd = cluster.release, cluster.linkerd
    extensions = cluster.extensions
    charts = {
        "cilium": stack.cilium.version if stack.cilium is not None else None,
        "linkerd-crds": release.crds if stack.linkerd else None,
        "linkerd-control-plane": release.control_plane if stack.linkerd else None,
        "linkerd-multicluster": release.multicluster if cluster.multicluster else None,
        "linkerd2-cni": release.cni if stack.linkerd and linkerd.cni else None,
        "linkerd-viz": release.viz if extensions.viz is not None else None,
        "linkerd-jaeger": release.jaeger if extensions.jaeger else None,
        "linkerd-smi": extensions.smi.version if extensions.smi is not None else None,
        "metallb": extensions.metallb.version if extensions.metallb is not None else None,
    }
    if extensions.ingress_nginx is not None and extensions.ingress_nginx.install:
        charts["ingress-nginx"] = extensions.ingress_nginx.version
    overrides: dict[str, dict[str, Any]] = {str(chart): values for chart, values in linkerd.values.items()}
    if cluster.cilium is not None:
        overrides["cilium"] = cluster.cilium.values
    found: dict[str, Any] = {
        "context": cluster.context.name,
        "charts": {chart: version for chart, version in charts.items() if version is not None},
        "overrides": {chart: config.value_paths(values) for chart, values in overrides.items() if values},
    }
    if stack.linkerd:
        found["linkerd"] = release.tag
    if cluster.cilium is not None:
        found["cilium"] = {"id": cluster.cilium.id}
    if not cluster.reachable:
        found["reachable"] = "never" if cluster.abandoned else False
    return found
