"""The part of a stack file that says what Cilium, and the ClusterMesh that it makes, are like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mesh.config.base_model import StrictModel, Values, switch_shorthand
from mesh.config.field_types import Address, LabelKey, NodePort, Port, Version
from mesh.linkerd_releases import CILIUM_VERSION

ServiceType = Literal["NodePort", "LoadBalancer", "ClusterIP"]


class HubbleConfig(StrictModel):
    """Hubble: what Cilium sees of the traffic."""

    relay: bool = False
    """Gather it from all nodes, for the hubble command."""


class CiliumConfig(StrictModel):
    """Cilium on every cluster, joined to one ClusterMesh. Where `linkerd` isn't set beside it, Linkerd is left out."""

    version: Version = CILIUM_VERSION
    """The version of the chart cilium, in quotes: 1.14.0 or later."""
    service: ServiceType = "NodePort"
    """How the other clusters reach a cluster's ClusterMesh API server."""
    node_port: NodePort = 32379
    """Its node port, with `service: NodePort`."""
    kvstoremesh: bool | None = None
    """Keep a copy of what other clusters say in each cluster; left out, what the chart does."""
    max_connected_clusters: Literal[255, 511] = 255
    """How many clusters there may be, and so the highest `id`; 511 from 1.15 on, and only for a new mesh."""
    hubble: Annotated[HubbleConfig | None, *switch_shorthand(HubbleConfig | None)] = HubbleConfig()
    """Hubble. `true` is short for its defaults, `false` for none."""
    values: Values = {}
    """Values of the chart, merged over this program's, key by key."""


class ClusterCiliumConfig(StrictModel):
    """What Cilium is like in one cluster."""

    id: Annotated[int, Field(ge=1, le=511)] | None = None
    """The cluster's number in the mesh, 1 to 255 (511): another one for each, and never changed."""
    service: ServiceType | None = None
    """How the others reach its ClusterMesh API server; left out, as `cilium.service` says."""
    addresses: list[Address] = []
    """Where they do; left out, its nodes' own addresses or that of the load balancer."""
    port: Port | None = None
    """At which port; left out, the node port, or 2379."""
    annotations: dict[LabelKey, str] = {}
    """Annotations of the Service, by which clouds configure their load balancers."""
    values: Values = {}
    """Values of the chart for this cluster, merged over those of `cilium.values`."""
