"""The mesh on one cluster, in installation order: everything but links and samples."""

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
    """A reachable cluster and the mesh components on it."""

    cluster: Cluster
    cilium: Cilium | None = None
    linkerd_or_none: Linkerd | None = None
    multicluster: Multicluster | None = None
    viz: Viz | None = None
    jaeger: Jaeger | None = None
    smi: Smi | None = None

    @property
    def linkerd(self) -> Linkerd:
        """Return the control plane, which every cluster of a Linkerd mesh has."""
        assert self.linkerd_or_none is not None, "mesh.config rejects Linkerd features without Linkerd"
        return self.linkerd_or_none

    @property
    def pod_dependencies(self) -> list[pulumi.Resource]:
        """Return the resources that must exist before a pod starts: the network and the injectors.

        A pod that starts before an injector gets no proxy, without any error.
        """
        network = [self.cilium.ready] if self.cilium is not None else []
        linkerd = [self.linkerd_or_none.control_plane] if self.linkerd_or_none is not None else []
        return [
            *network,
            *linkerd,
            *(extension.ready for extension in (self.viz, self.jaeger) if extension is not None),
        ]

    @property
    def webhook_expiry(self) -> dict[str, pulumi.Output[str]]:
        """Return the expiry of each webhook certificate in RFC 3339, by component."""
        components = {"linkerd": self.linkerd_or_none, "viz": self.viz, "jaeger": self.jaeger}
        return {name: component.webhook_expiry for name, component in components.items() if component is not None}


def install(
    cluster: Cluster,
    stack: config.Settings,
    trust: Trust | None,
    cilium: Cilium | None,
    *,
    user: DashboardUser | None,
) -> MeshCluster:
    """Install the mesh components that the settings enable for a cluster.

    Args:
        cluster: cluster to install the mesh on.
        stack: settings of the stack.
        trust: authorities of the Linkerd mesh; None without Linkerd.
        cilium: Cilium on this cluster; None without a ClusterMesh.
        user: user of the dashboards; None without dashboards.
    """
    extensions, charts = cluster.settings.extensions, stack.charts
    network = [cilium.ready] if cilium is not None else []
    gateway_api = extensions.gateway_api
    crds = [GatewayApi(cluster, gateway_api).crds] if gateway_api is not None and gateway_api.install else []
    addresses: list[pulumi.Resource] = []
    if extensions.metallb is not None:
        addresses.append(MetalLb(cluster, charts["metallb"], network).advertisement)
    ingress: list[pulumi.Resource] = []
    if extensions.ingress_nginx is not None and extensions.ingress_nginx.install:
        ingress.append(IngressNginx(cluster, charts["ingress-nginx"], [*network, *addresses]).ready)
    if trust is None:
        return MeshCluster(cluster=cluster, cilium=cilium)
    linkerd = Linkerd(cluster, charts["linkerd"], trust, network, crds)
    multicluster = None
    if cluster.settings.has_multicluster:
        multicluster = Multicluster(
            cluster,
            linkerd,
            charts["linkerd"],
            is_target=cluster.name in topology.target_clusters(stack.links),
            links=_outgoing_links(cluster, stack),
            depends_on=addresses,
        )
    viz = Viz(cluster, linkerd, trust, charts["linkerd"]) if extensions.viz is not None else None
    mesh_cluster = MeshCluster(
        cluster=cluster,
        cilium=cilium,
        linkerd_or_none=linkerd,
        multicluster=multicluster,
        viz=viz,
        jaeger=Jaeger(cluster, linkerd, trust, charts["linkerd"]) if extensions.jaeger else None,
        smi=Smi(cluster, linkerd, charts["linkerd-smi"]) if extensions.smi is not None else None,
    )
    if extensions.has_dashboard and viz is not None and user is not None:
        Dashboard(cluster, viz, user, ingress)
    if extensions.buoyant_cloud is not None:
        BuoyantCloud(cluster, extensions.buoyant_cloud, mesh_cluster.pod_dependencies)
    return mesh_cluster


def _outgoing_links(cluster: Cluster, stack: config.Settings) -> list[OutgoingLink]:
    """Return the links that have the cluster as their source, without links to abandoned clusters."""
    targets = {target.name: target for target in stack.clusters if not target.is_abandoned}
    links = [link for link in stack.links if link.source == cluster.name and link.target in targets]
    return [(link, targets[link.target], stack.options(link)) for link in links]
