"""A cluster as a member of the mesh: all that runs on it beside links and samples, in the order that it needs."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.addons.gateway_api import GatewayApi
from components.addons.ingress_nginx import IngressNginx
from components.addons.metallb import MetalLb
from components.cilium.cilium import Cilium
from components.cluster import Cluster
from components.linkerd.buoyant_cloud import BuoyantCloud
from components.linkerd.control_plane import Linkerd
from components.linkerd.dashboard import Dashboard
from components.linkerd.dashboard_user import DashboardUser
from components.linkerd.jaeger import Jaeger
from components.linkerd.multicluster import Multicluster, OutgoingLink
from components.linkerd.pki import Trust
from components.linkerd.smi import Smi
from components.linkerd.viz import Viz
from mesh import config, topology


@dataclass(frozen=True, kw_only=True)
class MeshCluster:
    """One cluster with what runs on it."""

    cluster: Cluster
    cilium: Cilium | None = None
    own_linkerd: Linkerd | None = None
    multicluster: Multicluster | None = None
    viz: Viz | None = None
    jaeger: Jaeger | None = None
    smi: Smi | None = None

    @property
    def injectors(self) -> list[pulumi.Resource]:
        """What must be there before a pod: one that starts earlier stays without a proxy, and nobody says so."""
        network = [self.cilium.installed] if self.cilium is not None else []
        linkerd = [self.own_linkerd.control_plane] if self.own_linkerd is not None else []
        return [*network, *linkerd, *(part.extension for part in (self.viz, self.jaeger) if part is not None)]

    @property
    def linkerd(self) -> Linkerd:
        """Linkerd, for what is only where Linkerd is."""
        assert self.own_linkerd is not None, "settings see to it that nothing of Linkerd's is without it"
        return self.own_linkerd

    @property
    def webhooks_expire(self) -> dict[str, pulumi.Output[str]]:
        """When the certificates of webhooks expire, by what they belong to."""
        parts = {"linkerd": self.own_linkerd, "viz": self.viz, "jaeger": self.jaeger}
        return {name: part.webhooks_expire for name, part in parts.items() if part is not None}


def install(
    cluster: Cluster,
    stack: config.Settings,
    trust: Trust | None,
    cilium: Cilium | None,
    *,
    user: DashboardUser | None,
) -> MeshCluster:
    """Make a cluster a member of the mesh.

    Args:
        cluster: the cluster.
        stack: the settings.
        trust: what Linkerd's mesh trusts; None where there is no Linkerd.
        cilium: what the cluster has of a ClusterMesh.
        user: who may see dashboards, where there are any.
    """
    wanted, charts = cluster.settings.extensions, stack.charts
    routes = wanted.gateway_api
    crds = [GatewayApi(cluster, routes)] if routes is not None and routes.install else []
    network = [cilium.installed] if cilium is not None else []
    addresses = [MetalLb(cluster, charts["metallb"], network).ready] if wanted.metallb is not None else []
    # Its pods need a network, and its Service an address.
    installs = wanted.ingress_nginx is not None and wanted.ingress_nginx.install
    ingress = [IngressNginx(cluster, charts["ingress-nginx"], [*network, *addresses]).ready] if installs else []
    if trust is None:
        return MeshCluster(cluster=cluster, cilium=cilium)
    linkerd = Linkerd(cluster, charts["linkerd"], trust, network, [each.crds for each in crds])
    multicluster = None
    if cluster.settings.multicluster:
        multicluster = Multicluster(
            cluster,
            linkerd,
            charts["linkerd"],
            target=cluster.name in topology.targets(stack.links),
            links=_outgoing_links(cluster, stack),
            before=addresses,
        )
    viz = Viz(cluster, linkerd, trust, charts["linkerd"]) if wanted.viz is not None else None
    member = MeshCluster(
        cluster=cluster,
        cilium=cilium,
        own_linkerd=linkerd,
        multicluster=multicluster,
        viz=viz,
        jaeger=Jaeger(cluster, linkerd, trust, charts["linkerd"]) if wanted.jaeger else None,
        smi=Smi(cluster, linkerd, charts["linkerd-smi"]) if wanted.smi is not None else None,
    )
    if wanted.dashboard and viz is not None and user is not None:
        Dashboard(cluster, viz, user, ingress)
    if wanted.buoyant_cloud is not None:
        BuoyantCloud(cluster, wanted.buoyant_cloud, member.injectors)
    return member


def _outgoing_links(cluster: Cluster, stack: config.Settings) -> list[OutgoingLink]:
    """The links that a cluster is the source of, but those to clusters that are forgotten."""
    targets = {each.name: each for each in stack.clusters if not each.abandoned}
    links = [link for link in stack.links if link.source == cluster.name and link.target in targets]
    return [(link, targets[link.target], stack.options(link)) for link in links]
