"""Models of `cilium`: Cilium and its ClusterMesh."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mesh.addon_chart_versions import CILIUM_VERSION
from mesh.config.base_model import StrictModel, Values, accept_switch
from mesh.config.field_types import Address, LabelKey, NodePort, Port, Version

ServiceType = Literal["NodePort", "LoadBalancer", "ClusterIP"]


class HubbleConfig(StrictModel):
    """Hubble, which observes the traffic in Cilium's network."""

    relay: bool = False
    """Whether Hubble Relay collects the flows of all nodes for the `hubble` command."""


class CiliumConfig(StrictModel):
    """Cilium on every cluster, joined to one ClusterMesh. Without the key `linkerd`, Linkerd is not installed."""

    version: Version = CILIUM_VERSION
    """Version of the chart cilium, in quotes, 1.14.0 or later."""
    service: ServiceType = "NodePort"
    """Type of the Service at which other clusters reach a cluster's ClusterMesh API server."""
    node_port: NodePort = 32379
    """Node port of the ClusterMesh API server, with `service: NodePort`. Clusters in which Cilium before 1.19 replaces
    kube-proxy get unique ports instead: this one plus their `id`."""
    kvstoremesh: bool | None = None
    """Whether each cluster caches the state of the other clusters (KVStoreMesh); omitted: the chart's default."""
    max_connected_clusters: Literal[255, 511] = 255
    """Maximum number of clusters, and highest `id`. 511 needs Cilium 1.15 or later and a new mesh."""
    hubble: Annotated[HubbleConfig | None, *accept_switch(HubbleConfig | None)] = HubbleConfig()
    """Hubble. `true` stands for its defaults, `false` for no Hubble; omitted: true."""
    values: Values = {}
    """Values of the chart cilium, merged key by key over the program's values."""


class ClusterCiliumConfig(StrictModel):
    """Settings of Cilium in one cluster."""

    id: Annotated[int, Field(ge=1, le=511)] | None = None
    """Unique number of the cluster in the ClusterMesh, up to `cilium.maxConnectedClusters`. Never change it."""
    service: ServiceType | None = None
    """Type of the Service of the ClusterMesh API server; omitted: `cilium.service`."""
    node_port: NodePort | None = None
    """Node port of the ClusterMesh API server, with `service: NodePort`; omitted: `cilium.nodePort`, or a unique port
    if Cilium before 1.19 replaces kube-proxy in the cluster."""
    addresses: list[Address] = []
    """Addresses of the ClusterMesh API server for other clusters; omitted: those of the nodes or the load balancer."""
    port: Port | None = None
    """Port at `addresses`; omitted: the node port with `service: NodePort`, otherwise 2379."""
    annotations: dict[LabelKey, str] = {}
    """Annotations of the Service, such as those that configure a cloud's load balancer."""
    values: Values = {}
    """Values of the chart cilium for this cluster, merged key by key over `cilium.values`."""
