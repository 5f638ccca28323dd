"""The part of a stack file that says which extensions its clusters have."""

from __future__ import annotations

from typing import Annotated

from mesh.config.base_model import StrictModel, Values, clusters_shorthand, false_shorthand, switch_shorthand
from mesh.config.field_types import AddressRange, Domain, Label, Manifest, Url, UserName, Version
from mesh.linkerd_releases import INGRESS_NGINX_VERSION, METALLB_VERSION, SMI_VERSION


class ExtensionConfig(StrictModel):
    """An extension on some clusters. `true` is short for all of them; so is a list for those that it names."""

    clusters: list[str] | None = None
    """Where it is installed; left out, on all clusters."""


class DashboardConfig(StrictModel):
    """Viz' dashboard behind an Ingress with basic auth, on each of its clusters that `ingressNginx` names."""

    user: UserName = "admin"
    """Who may see it; the password is `dashboardPassword`."""
    host: Domain | None = None
    """The host name of the Ingress; left out, any."""
    ingress_class: Label = "nginx"
    """The class of the Ingress."""


class VizConfig(ExtensionConfig):
    """Linkerd's viz extension: metrics, tap and the dashboard."""

    dashboard: Annotated[DashboardConfig | None, *switch_shorthand(DashboardConfig | None)] = None
    """The dashboard behind an Ingress. `true` is short for its defaults."""
    prometheus_url: Url | None = None
    """A Prometheus that is there already, in place of one of its own."""


class SmiConfig(ExtensionConfig):
    """Linkerd's smi extension: it makes TrafficSplits work."""

    version: Version = SMI_VERSION
    """The version of the chart linkerd-smi."""


class MetalLbConfig(StrictModel):
    """MetalLB: a load balancer for clusters that have none."""

    pools: dict[str, list[AddressRange]]
    """The addresses that it may give and announce in the clusters' own network (layer 2), by cluster."""
    version: Version = METALLB_VERSION
    """The version of the chart metallb."""
    values: Values = {}
    """Values of the chart, merged over this program's."""


class IngressNginxConfig(ExtensionConfig):
    """ingress-nginx."""

    install: bool = True
    """False: it is there already."""
    version: Version = INGRESS_NGINX_VERSION
    """The version of the chart ingress-nginx."""
    values: Values = {}
    """Values of the chart, merged over this program's."""


class GatewayApiConfig(ExtensionConfig):
    """The CRDs of the Gateway API, in place of those that Linkerd's own charts may bring."""

    install: bool = True
    """False: they are there already."""
    manifest: Manifest | None = None
    """The URL of a release's manifest, or the path of a file with it; left out, of the one that goes with Linkerd's."""


class ExtensionsConfig(StrictModel):
    """Extensions of Linkerd, and what a cluster may lack."""

    viz: Annotated[VizConfig | None, *clusters_shorthand(VizConfig | None)] = None
    """Metrics, tap and the dashboard."""
    jaeger: Annotated[ExtensionConfig | None, *clusters_shorthand(ExtensionConfig | None)] = None
    """Distributed tracing."""
    smi: Annotated[SmiConfig | None, *clusters_shorthand(SmiConfig | None)] = None
    """TrafficSplits."""
    metallb: Annotated[MetalLbConfig | None, *false_shorthand(MetalLbConfig | None)] = None
    """A load balancer."""
    ingress_nginx: Annotated[IngressNginxConfig | None, *clusters_shorthand(IngressNginxConfig | None)] = None
    """An ingress controller, for the dashboard."""
    gateway_api: Annotated[GatewayApiConfig | None, *clusters_shorthand(GatewayApiConfig | None)] = None
    """The Gateway API's CRDs."""
