"""The part of a stack file that says which extensions its clusters have."""

from __future__ import annotations

from typing import Annotated

from mesh.config.base_model import Part, Values, off, on_clusters, on_or_off
from mesh.config.field_types import AddressRange, Domain, Label, Manifest, Url, UserName, Version
from mesh.linkerd_releases import INGRESS_NGINX, METALLB, SMI


class Extension(Part):
    """An extension on some clusters. `true` is short for all of them; so is a list for those that it names."""

    clusters: list[str] | None = None
    """Where it is installed; left out, on all clusters."""


class Dashboard(Part):
    """Viz' dashboard behind an Ingress with basic auth, on each of its clusters that `ingressNginx` names."""

    user: UserName = "admin"
    """Who may see it; the password is `dashboardPassword`."""
    host: Domain | None = None
    """The host name of the Ingress; left out, any."""
    ingress_class: Label = "nginx"
    """The class of the Ingress."""


class Viz(Extension):
    """Linkerd's viz extension: metrics, tap and the dashboard."""

    dashboard: Annotated[Dashboard | None, *on_or_off(Dashboard | None)] = None
    """The dashboard behind an Ingress. `true` is short for its defaults."""
    prometheus_url: Url | None = None
    """A Prometheus that is there already, in place of one of its own."""


class Smi(Extension):
    """Linkerd's smi extension: it makes TrafficSplits work."""

    version: Version = SMI
    """The version of the chart linkerd-smi."""


class MetalLb(Part):
    """MetalLB: a load balancer for clusters that have none."""

    pools: dict[str, list[AddressRange]]
    """The addresses that it may give and announce in the clusters' own network (layer 2), by cluster."""
    version: Version = METALLB
    """The version of the chart metallb."""
    values: Values = {}
    """Values of the chart, merged over this program's."""


class IngressNginx(Extension):
    """ingress-nginx."""

    install: bool = True
    """False: it is there already."""
    version: Version = INGRESS_NGINX
    """The version of the chart ingress-nginx."""
    values: Values = {}
    """Values of the chart, merged over this program's."""


class GatewayApi(Extension):
    """The CRDs of the Gateway API, in place of those that Linkerd's own charts may bring."""

    install: bool = True
    """False: they are there already."""
    manifest: Manifest | None = None
    """The URL of a release's manifest, or the path of a file with it; left out, of the one that goes with Linkerd's."""


class Extensions(Part):
    """Extensions of Linkerd, and what a cluster may lack."""

    viz: Annotated[Viz | None, *on_clusters(Viz | None)] = None
    """Metrics, tap and the dashboard."""
    jaeger: Annotated[Extension | None, *on_clusters(Extension | None)] = None
    """Distributed tracing."""
    smi: Annotated[Smi | None, *on_clusters(Smi | None)] = None
    """TrafficSplits."""
    metallb: Annotated[MetalLb | None, *off(MetalLb | None)] = None
    """A load balancer."""
    ingress_nginx: Annotated[IngressNginx | None, *on_clusters(IngressNginx | None)] = None
    """An ingress controller, for the dashboard."""
    gateway_api: Annotated[GatewayApi | None, *on_clusters(GatewayApi | None)] = None
    """The Gateway API's CRDs."""
