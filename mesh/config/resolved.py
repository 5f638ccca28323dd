"""What a stack file comes to: the settings that the program works from, complete and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.config.base_model import Values
from mesh.config.models.cilium import CiliumConfig, ServiceType
from mesh.config.models.extensions import GatewayApiConfig, IngressNginxConfig, SmiConfig, VizConfig
from mesh.config.models.links import LinkOptions
from mesh.config.models.samples import (
    BooksappConfig,
    EmojivotoConfig,
    ExportMode,
    HelloworldConfig,
    PodinfoConfig,
    SplitForm,
    UserlistConfig,
)
from mesh.config.models.stack_file import (
    ChartSourceName,
    ClusterLinkerdConfig,
    GatewayConfig,
    LinkerdChart,
    NetworksConfig,
    PreflightConfig,
    TrustConfig,
)
from mesh.kube import kubeconfig
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link


@dataclass(frozen=True, kw_only=True)
class MetalLbSettings:
    """A MetalLB that the stack installs."""

    version: str
    pool: tuple[str, ...]  # address ranges
    values: Values


@dataclass(frozen=True, kw_only=True)
class ClusterExtensions:
    """What one cluster has beside Linkerd itself and the multicluster extension."""

    viz: VizConfig | None = None
    jaeger: bool = False
    smi: SmiConfig | None = None
    metallb: MetalLbSettings | None = None
    ingress_nginx: IngressNginxConfig | None = None
    gateway_api: GatewayApiConfig | None = None
    buoyant_cloud: str | None = field(default=None, repr=False)  # a URL or a path, maybe with credentials in it

    @property
    def dashboard(self) -> bool:
        """Whether viz' dashboard is behind an Ingress."""
        return self.viz is not None and self.viz.dashboard is not None and self.ingress_nginx is not None

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that the stack makes for them."""
        installed = {
            "linkerd-viz": self.viz is not None,
            "linkerd-jaeger": self.jaeger,
            "linkerd-smi": self.smi is not None,
            "metallb-system": self.metallb is not None,
            "ingress-nginx": self.ingress_nginx is not None and self.ingress_nginx.install,
        }
        return tuple(namespace for namespace, there in installed.items() if there)


@dataclass(frozen=True, kw_only=True)
class ClusterMeshMember:
    """One cluster's part in a ClusterMesh."""

    id: int
    service: ServiceType
    addresses: tuple[str, ...]  # where the others reach its API server for them; empty: what the cluster itself says
    port: int
    annotations: Mapping[str, str]
    values: Values


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """One cluster of the mesh."""

    name: str
    context: kubeconfig.Context
    kubeconfig: str = field(default="", repr=False)  # a path, or the content of a file; empty: as kubectl finds it
    kubeconfig_is_secret: bool = False
    reachable: bool = True
    abandoned: bool = False  # it won't come back
    api_server: str  # the URL at which the clusters that link to this one reach its API server
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    networks: NetworksConfig = field(default_factory=NetworksConfig)
    adopt: bool = False
    linkerd: ClusterLinkerdConfig = field(default_factory=ClusterLinkerdConfig)
    extensions: ClusterExtensions = field(default_factory=ClusterExtensions)
    cilium: ClusterMeshMember | None = None
    multicluster: bool = True  # it has the extension; a single cluster needs none
    release: LinkerdRelease

    @property
    def waits_for_gateway_address(self) -> bool:
        """Whether the gateway's Service gets an address that is worth waiting for."""
        gateway = self.gateway
        return (
            self.multicluster
            and gateway.enabled
            and gateway.load_balancer.enabled
            and not gateway.node_port
            and not gateway.addresses
        )

    @property
    def gateway_service_becomes_ready(self) -> bool:
        """Whether all that belongs to the gateway does, its Service included."""
        return self.waits_for_gateway_address or not self.gateway.enabled or self.gateway.node_port is not None

    @property
    def gateway_is_reachable(self) -> bool:
        """Whether other clusters can reach the gateway."""
        return self.gateway.enabled and bool(self.waits_for_gateway_address or self.gateway.addresses)

    @property
    def identity(self) -> str:
        """The common name of its issuer."""
        return f"identity.{self.linkerd.namespace}.{self.linkerd.trust_domain}"

    @property
    def crds_bring_gateway_api(self) -> bool:
        """Whether linkerd-crds brings the Gateway API's routes, so that Helm must own them."""
        switches = self.release.gateway_api_values
        if not switches:
            return False
        said = self.values("linkerd-crds")
        usual = said.get(switches[0], self.extensions.gateway_api is None)
        return bool(said.get("enableHttpRoutes", usual))

    @property
    def split_form(self) -> SplitForm:
        """How requests are split where the stack file doesn't say."""
        return "smi" if self.extensions.smi is not None else "gateway-api"

    def values(self, chart: LinkerdChart) -> Values:
        """What the stack file says of a chart's values."""
        return self.linkerd.values.get(chart, {})


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample workload, with its clusters."""

    part: PodinfoConfig | HelloworldConfig | BooksappConfig | EmojivotoConfig | UserlistConfig
    clusters: tuple[str, ...]
    export_modes: Mapping[str, ExportMode] = field(default_factory=dict)  # by the clusters that export it

    @property
    def name(self) -> str:
        """What it is called in the stack file."""
        return self.part.kind

    @property
    def all_clusters(self) -> tuple[str, ...]:
        """All clusters where something of it runs: `sleep` may be where helloworld is not."""
        more: list[str] = []
        if isinstance(self.part, HelloworldConfig):
            more = self.part.sleep
        elif isinstance(self.part, UserlistConfig):
            more = self.part.curltest or []
        return tuple(dict.fromkeys([*self.clusters, *more]))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole stack file."""

    clusters: tuple[ClusterSettings, ...]
    links: tuple[Link, ...]
    link_options: Mapping[Link, LinkOptions] = field(default_factory=dict)
    charts: Mapping[ChartSourceName, str]  # URLs of chart repositories, oci:// references, or folders of chart archives
    trust: TrustConfig
    linkerd: bool = True
    cilium: CiliumConfig | None = None
    image_pull_secret: str | None = field(default=None, repr=False)  # the content of a .dockerconfigjson
    preflight: PreflightConfig = field(default_factory=PreflightConfig)
    dashboard_password: str | None = field(default=None, repr=False)
    samples: tuple[Sample, ...] = ()

    trust_domain: str = "cluster.local"  # the mesh's; a cluster may have another
    warnings: tuple[str, ...] = ()  # of what doesn't stand in the way, in the form of faults

    def options(self, link: Link) -> LinkOptions:
        """What the stack file says of a link."""
        return self.link_options.get(link, LinkOptions())

    @property
    def unreachable_clusters(self) -> tuple[str, ...]:
        """The clusters that can't be reached, and are said so."""
        return tuple(cluster.name for cluster in self.clusters if not cluster.reachable)

    def has_grpc_routes(self, cluster: ClusterSettings) -> bool:
        """Whether a sample shares out gRPC requests in a cluster by a GRPCRoute, if Linkerd's release has that."""
        parts = [sample.part for sample in self.samples if isinstance(sample.part, PodinfoConfig)]
        splits = [split for part in parts for split in part.splits if split.cluster == cluster.name]
        by_route = any((split.form or cluster.split_form) == "gateway-api" for split in splits)
        return by_route or any(failover.cluster == cluster.name for part in parts for failover in part.failover)

    @property
    def dashboard_user(self) -> str | None:
        """Who may see the dashboards; None where there are none."""
        found = [cluster.extensions.viz for cluster in self.clusters if cluster.extensions.dashboard]
        return next((viz.dashboard.user for viz in found if viz is not None and viz.dashboard is not None), None)

    @property
    def dashboards(self) -> tuple[str, ...]:
        """The clusters whose dashboard is behind an Ingress."""
        return tuple(cluster.name for cluster in self.clusters if cluster.extensions.dashboard)


def value_paths(values: Mapping[str, object], prefix: str = "") -> list[str]:
    """The keys of all values of a mapping, however deep: `proxy.resources.cpu.request`."""
    found: list[str] = []
    for key, value in values.items():
        path = f"{prefix}{key}"
        found += value_paths(value, f"{path}.") if isinstance(value, dict) and value else [path]
    return found


def merge_values(under: Values, over: Values) -> Values:
    """Two values of a chart as one, key by key; what isn't a mapping on both sides is replaced whole, as Helm does."""
    found = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merge_values(found[key], value) if both else value
    return found
