"""Models of `extensions`: extensions of Linkerd, and add-ons."""

from __future__ import annotations

from typing import Annotated

from mesh.addon_chart_versions import INGRESS_NGINX_VERSION, METALLB_VERSION, SMI_VERSION
from mesh.config.base_model import StrictModel, Values, accept_clusters, accept_false, accept_switch
from mesh.config.field_types import AddressRange, Domain, Label, Manifest, Url, UserName, Version


class ExtensionConfig(StrictModel):
    """Extension on some clusters. `true` stands for all clusters, a list for the clusters in it."""

    clusters: list[str] | None = None
    """Clusters with the extension; omitted: all clusters."""


class DashboardConfig(StrictModel):
    """Ingress with basic auth for the dashboard, in each cluster that has viz and `ingressNginx`."""

    user: UserName = "admin"
    """User of the dashboard. The password is `dashboardPassword`."""
    host: Domain | None = None
    """Host name of the Ingress; omitted: any host name."""
    ingress_class: Label = "nginx"
    """Class of the Ingress."""


class VizConfig(ExtensionConfig):
    """Linkerd's viz extension: metrics, tap and dashboard."""

    dashboard: Annotated[DashboardConfig | None, *accept_switch(DashboardConfig | None)] = None
    """Ingress for the dashboard. `true` stands for its defaults; omitted: no Ingress."""
    prometheus_url: Url | None = None
    """URL of an existing Prometheus; omitted: the extension installs its own."""


class SmiConfig(ExtensionConfig):
    """Linkerd's smi extension, which implements TrafficSplits."""

    version: Version = SMI_VERSION
    """Version of the chart linkerd-smi, in quotes."""


class MetalLbConfig(StrictModel):
    """MetalLB, a load balancer for clusters that have none."""

    pools: dict[str, list[AddressRange]]
    """Address ranges by cluster. MetalLB assigns them to Services and announces them in the local network (layer 2)."""
    version: Version = METALLB_VERSION
    """Version of the chart metallb, in quotes."""
    values: Values = {}
    """Values of the chart, merged key by key over the program's values."""


class IngressNginxConfig(ExtensionConfig):
    """ingress-nginx, an ingress controller for the dashboard."""

    install: bool = True
    """Whether the stack installs ingress-nginx; false: it exists already."""
    version: Version = INGRESS_NGINX_VERSION
    """Version of the chart ingress-nginx, in quotes."""
    values: Values = {}
    """Values of the chart, merged key by key over the program's values."""


class GatewayApiConfig(ExtensionConfig):
    """CRDs of the Gateway API, in place of those in Linkerd's charts."""

    install: bool = True
    """Whether the stack installs the CRDs; false: they exist already."""
    manifest: Manifest | None = None
    """URL or file of the manifest with the CRDs; omitted: the version that the Linkerd release supports."""


class ExtensionsConfig(StrictModel):
    """Extensions of Linkerd, and add-ons that a cluster may need."""

    viz: Annotated[VizConfig | None, *accept_clusters(VizConfig | None)] = None
    """Linkerd viz: metrics, tap and dashboard."""
    jaeger: Annotated[ExtensionConfig | None, *accept_clusters(ExtensionConfig | None)] = None
    """Linkerd jaeger: distributed tracing, up to Linkerd 2.18."""
    smi: Annotated[SmiConfig | None, *accept_clusters(SmiConfig | None)] = None
    """Linkerd smi: TrafficSplits."""
    metallb: Annotated[MetalLbConfig | None, *accept_false(MetalLbConfig | None)] = None
    """MetalLB: a load balancer."""
    ingress_nginx: Annotated[IngressNginxConfig | None, *accept_clusters(IngressNginxConfig | None)] = None
    """ingress-nginx: an ingress controller for the dashboard."""
    gateway_api: Annotated[GatewayApiConfig | None, *accept_clusters(GatewayApiConfig | None)] = None
    """CRDs of the Gateway API."""
