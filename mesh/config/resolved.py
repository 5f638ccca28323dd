"""The resolved settings: validated, with all defaults; the input of the program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from mesh.config.base_model import Values
from mesh.config.gateway_exposure import GatewayExposure, resolve_gateway_exposure
from mesh.config.models.cilium import CiliumConfig, ServiceType
from mesh.config.models.extensions import GatewayApiConfig, IngressNginxConfig, SmiConfig, VizConfig
from mesh.config.models.links import LinkOptions
from mesh.config.models.samples import BooksappConfig, EmojivotoConfig, HelloworldConfig, PodinfoConfig, UserlistConfig
from mesh.config.models.services import ExportMode, NamespaceConfig, RetryBudget, ServiceConfig, SplitForm, SplitsConfig
from mesh.config.models.stack_file import (
    ChartSourceName,
    ClusterLinkerdConfig,
    GatewayConfig,
    LinkerdChart,
    NetworksConfig,
    PreflightConfig,
    TimeoutsConfig,
)
from mesh.config.models.trust import TrustConfig
from mesh.kube import kubeconfig
from mesh.kube.constants import INJECT_ANNOTATION, PROXY_CONFIG_PREFIX
from mesh.linkerd_releases import LinkerdRelease
from mesh.service_profiles.routes import ProfileRoute
from mesh.topology import Link

# How clients reach a service: in their own cluster, through the gateway, or directly on a flat network.
RequestPath = Literal["local", "gateway", "direct"]


@dataclass(frozen=True, kw_only=True)
class MetalLbSettings:
    """MetalLB, as the stack installs it on one cluster."""

    version: str
    pool: tuple[str, ...]  # address ranges
    values: Values


@dataclass(frozen=True, kw_only=True)
class ClusterExtensions:
    """Extensions and add-ons of one cluster, without the multicluster extension."""

    viz: VizConfig | None = None
    jaeger: bool = False
    smi: SmiConfig | None = None
    metallb: MetalLbSettings | None = None
    ingress_nginx: IngressNginxConfig | None = None
    gateway_api: GatewayApiConfig | None = None
    buoyant_cloud: str | None = field(default=None, repr=False)  # a URL or a path; may contain credentials

    @property
    def has_dashboard(self) -> bool:
        """Return whether an Ingress serves the dashboard of viz."""
        return self.viz is not None and self.viz.dashboard is not None and self.ingress_nginx is not None

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Return the namespaces that the stack creates for the extensions."""
        installed = {
            "linkerd-viz": self.viz is not None,
            "linkerd-jaeger": self.jaeger,
            "linkerd-smi": self.smi is not None,
            "metallb-system": self.metallb is not None,
            "ingress-nginx": self.ingress_nginx is not None and self.ingress_nginx.install,
        }
        return tuple(namespace for namespace, is_installed in installed.items() if is_installed)


@dataclass(frozen=True, kw_only=True)
class ClusterMeshMember:
    """One cluster as a member of a ClusterMesh."""

    id: int
    service: ServiceType
    addresses: tuple[str, ...]  # ClusterMesh API server, for other clusters; empty: read from the cluster
    port: int
    node_port: int | None = None  # port of its Service; None: `cilium.nodePort`
    annotations: Mapping[str, str]
    values: Values


@dataclass(frozen=True, kw_only=True)
class PeerAccess:
    """Verification of a cluster's API server by the clusters that link to it."""

    certificate_authority: str | None = None  # PEM in base64; None: the source's system trust store
    uses_cluster_authority: bool = False  # True: the cluster's own CA instead, which the token's Secret contains
    tls_server_name: str | None = None
    is_checked: bool = True  # whether `up` tries the credentials of links from this machine


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """One cluster of the mesh."""

    name: str
    context: kubeconfig.Context
    kubeconfig: str = field(default="", repr=False)  # a path or the content of a file; empty: kubectl's default
    has_secret_kubeconfig: bool = False
    reachable: bool = True
    is_abandoned: bool = False  # lost for good; its removal from the stack file drops its resources
    renamed_from: str | None = None  # its name in the stack state
    replaces: str | None = None  # beginning of the UID of its predecessor
    api_server: str  # the URL at which clusters that link to this one reach its API server
    peer_access: PeerAccess = field(default_factory=PeerAccess)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    networks: NetworksConfig = field(default_factory=NetworksConfig)
    adopt: bool = False
    linkerd: ClusterLinkerdConfig = field(default_factory=ClusterLinkerdConfig)
    extensions: ClusterExtensions = field(default_factory=ClusterExtensions)
    timeouts: TimeoutsConfig = field(default_factory=TimeoutsConfig)
    cilium: ClusterMeshMember | None = None
    has_multicluster: bool = True  # the multicluster extension, which a single cluster does not need
    linkerd_release: LinkerdRelease  # the same object as `Settings.linkerd_release`

    @cached_property
    def gateway_exposure(self) -> GatewayExposure:
        """Return how other clusters reach the gateway."""
        return resolve_gateway_exposure(self.gateway)

    @property
    def identity(self) -> str:
        """Return the common name of the cluster's issuer."""
        return f"identity.{self.linkerd.namespace}.{self.linkerd.trust_domain}"

    @property
    def is_gateway_api_in_chart(self) -> bool:
        """Return whether the chart linkerd-crds contains the Gateway API's routes, so that Helm must own them."""
        switches = self.linkerd_release.gateway_api_values
        if not switches:
            return False
        values = self.values("linkerd-crds")
        default = values.get(switches[0], self.extensions.gateway_api is None)
        return bool(values.get("enableHttpRoutes", default))

    @property
    def split_form(self) -> SplitForm:
        """Return the form of traffic splits that set no form."""
        return "smi" if self.extensions.smi is not None else "gateway-api"

    def has_weighted_routes(self, config: SplitsConfig) -> bool:
        """Return whether a service's split or failover on this cluster is a route of the Gateway API."""
        split = next((each for each in config.splits if each.cluster == self.name), None)
        has_route_split = split is not None and (split.form or self.split_form) == "gateway-api"
        return has_route_split or any(each.cluster == self.name for each in config.failover)

    def has_port_routes(self, config: SplitsConfig, profile: Profile | None) -> bool:
        """Return whether each port of a service has a weighted route; a ServiceProfile includes all ports.

        Args:
            config: splits and failovers of the service.
            profile: routes of the service; None: no routes.
        """
        has_service_profile = profile is not None and profile.form == "service-profile"
        return self.has_weighted_routes(config) and not has_service_profile

    def values(self, chart: LinkerdChart) -> Values:
        """Return the values of a chart in the stack file."""
        return self.linkerd.values.get(chart, {})


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Routes of a service, with timeouts and retries."""

    form: Literal["service-profile", "gateway-api"] = "service-profile"
    routes: tuple[ProfileRoute, ...] = ()  # empty: the routes of the sample
    retry_budget: RetryBudget | None = field(default_factory=RetryBudget)  # None: Linkerd's default


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample workload, with its clusters."""

    config: PodinfoConfig | HelloworldConfig | BooksappConfig | EmojivotoConfig | UserlistConfig
    clusters: tuple[str, ...]
    export_modes: Mapping[str, ExportMode] = field(default_factory=dict)  # by exporting cluster
    profile: Profile | None = None

    @property
    def name(self) -> str:
        """Return the sample's name in the stack file."""
        return self.config.kind

    @property
    def all_clusters(self) -> tuple[str, ...]:
        """Return all clusters that run a part of the sample; `sleep` can run without helloworld."""
        client_clusters: list[str] = []
        if isinstance(self.config, HelloworldConfig):
            client_clusters = self.config.sleep
        elif isinstance(self.config, UserlistConfig):
            client_clusters = self.config.curltest or []
        return tuple(dict.fromkeys([*self.clusters, *client_clusters]))


@dataclass(frozen=True, kw_only=True)
class DeclaredNamespace:
    """A namespace of `namespaces`, with its clusters."""

    name: str
    config: NamespaceConfig
    clusters: tuple[str, ...]

    @property
    def annotations(self) -> dict[str, str]:
        """Return the annotations by which Linkerd's injector configures the pods of the namespace."""
        config = self.config
        ports = {
            "opaque-ports": config.opaque_ports,
            "skip-inbound-ports": config.skip_inbound_ports,
            "skip-outbound-ports": config.skip_outbound_ports,
        }
        annotations: dict[str, str] = {}
        if config.meshed is not None:
            annotations[INJECT_ANNOTATION] = "enabled" if config.meshed else "disabled"
        if config.default_inbound_policy is not None:
            annotations[f"{PROXY_CONFIG_PREFIX}default-inbound-policy"] = config.default_inbound_policy
        annotations |= {
            f"{PROXY_CONFIG_PREFIX}{key}": ",".join(map(str, values)) for key, values in ports.items() if values
        }
        return annotations


@dataclass(frozen=True, kw_only=True)
class DeclaredService:
    """A service of `services`, with its clusters."""

    namespace: str
    name: str
    config: ServiceConfig
    clusters: tuple[str, ...]  # clusters that have the Service
    export_modes: Mapping[str, ExportMode] = field(default_factory=dict)  # by exporting cluster
    profile: Profile | None = None

    @property
    def key(self) -> str:
        """Return the service's key in the stack file."""
        return f"{self.namespace}/{self.name}"

    def list_paths(self, source: str, target: str, links: Iterable[Link]) -> Iterator[RequestPath]:
        """Yield each path of requests to the service.

        Args:
            source: cluster of the clients.
            target: cluster of the service.
            links: all links.
        """
        if source == target:
            yield "local"
        mode = self.export_modes.get(target)
        for link in links:
            if (link.source, link.target) != (source, target):
                continue
            if mode == "gateway" and link.has_gateway:
                yield "gateway"
            if (mode == "remote-discovery" or target in self.config.federated) and link.has_remote_discovery:
                yield "direct"


@dataclass(frozen=True, kw_only=True)
class ChartValues:
    """Values of one chart at one place of the stack file."""

    path: tuple[str, ...]  # in the stack file
    chart: str
    version: str
    source: str  # repository URL, `oci://` reference or folder of chart archives
    values: Values = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole stack file, resolved."""

    clusters: tuple[ClusterSettings, ...]
    links: tuple[Link, ...]
    link_options: Mapping[Link, LinkOptions] = field(default_factory=dict)
    charts: Mapping[ChartSourceName, str]  # repository URLs, oci:// references or folders of chart archives
    trust: TrustConfig
    has_linkerd: bool = True
    linkerd_release: LinkerdRelease  # one for the whole mesh; unused without Linkerd
    cilium: CiliumConfig | None = None
    image_pull_secret: str | None = field(default=None, repr=False)  # the content of a .dockerconfigjson
    preflight: PreflightConfig = field(default_factory=PreflightConfig)
    dashboard_password: str | None = field(default=None, repr=False)
    samples: tuple[Sample, ...] = ()
    namespaces: tuple[DeclaredNamespace, ...] = ()
    services: tuple[DeclaredService, ...] = ()
    trust_domain: str = "cluster.local"  # the mesh's; a cluster can have another one
    chart_values: tuple[ChartValues, ...] = ()  # values as written in the stack file
    warnings: tuple[str, ...] = ()  # in the form of validation errors

    def options(self, link: Link) -> LinkOptions:
        """Return the options of a link."""
        return self.link_options.get(link, LinkOptions())

    @property
    def unreachable_clusters(self) -> tuple[str, ...]:
        """Return the clusters that the stack file declares as unreachable."""
        return tuple(cluster.name for cluster in self.clusters if not cluster.reachable)

    def has_grpc_routes(self, cluster: ClusterSettings) -> bool:
        """Return whether a service needs a GRPCRoute in a cluster, if the Linkerd release supports it."""
        has_sample_routes = any(
            isinstance(sample.config, PodinfoConfig) and cluster.has_port_routes(sample.config, sample.profile)
            for sample in self.samples
        )
        # The preflight adds Services with the `appProtocol` grpc (`mesh.preflight.gateway_api`).
        has_service_routes = any(
            any(port.protocol == "grpc" for port in service.config.ports)
            and cluster.has_port_routes(service.config, service.profile)
            for service in self.services
        )
        return has_sample_routes or has_service_routes

    def list_namespaces_without_metrics(self, cluster: ClusterSettings) -> list[str]:
        """Return the namespaces of samples, and the declared ones, whose pods would refuse the Prometheus of viz."""
        viz = cluster.extensions.viz
        if viz is None or viz.prometheus_url is not None:
            return []
        defaults = {
            namespace.name: namespace.config.default_inbound_policy or cluster.linkerd.default_inbound_policy
            for namespace in self.namespaces
            if cluster.name in namespace.clusters
        }
        policies = list(defaults.items())
        for sample in self.samples:
            if cluster.name in sample.all_clusters and sample.config.meshed:
                namespace = sample.config.namespace
                default = defaults.get(namespace, cluster.linkerd.default_inbound_policy)
                policies.append((namespace, sample.config.default_inbound_policy or default))
        # The other policies allow clients with an identity, or all clients of the cluster.
        return list(dict.fromkeys(namespace for namespace, policy in policies if policy == "deny"))

    @property
    def dashboard_user(self) -> str | None:
        """Return the user of the dashboards; None without dashboards."""
        extensions = [cluster.extensions.viz for cluster in self.clusters if cluster.extensions.has_dashboard]
        return next((viz.dashboard.user for viz in extensions if viz is not None and viz.dashboard is not None), None)

    @property
    def dashboards(self) -> tuple[str, ...]:
        """Return the clusters with an Ingress for the dashboard."""
        return tuple(cluster.name for cluster in self.clusters if cluster.extensions.has_dashboard)


def value_paths(values: Mapping[str, object], prefix: str = "") -> list[str]:
    """Return the paths of all values of a nested mapping, such as `proxy.resources.cpu.request`."""
    paths: list[str] = []
    for key, value in values.items():
        path = f"{prefix}{key}"
        paths += value_paths(value, f"{path}.") if isinstance(value, dict) and value else [path]
    return paths


def merge_values(base: Values, override: Values) -> Values:
    """Return chart values merged as Helm does: mappings key by key, everything else replaced as a whole."""
    merged = dict(base)
    for key, value in override.items():
        both_mappings = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_values(merged[key], value) if both_mappings else value
    return merged
