"""Models of the stack file: every key with its type and default.

The parser, the JSON Schema and docs/settings.md are all derived from these models. Rules across fields are in
`mesh.config.validation`, and the resolved settings in `mesh.config.resolved`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mesh.config.base_model import StrictModel, Values, accept_shorthand, accept_switch, allow_null
from mesh.config.field_types import (
    Address,
    ApiServer,
    CertificateAuthority,
    ClusterName,
    ClusterUid,
    ControlPlaneNamespace,
    Domain,
    InboundPolicy,
    KubeconfigPath,
    Label,
    LabelKey,
    LabelValue,
    LinkerdVersion,
    Network,
    NodePort,
    Port,
    Registry,
    Secret,
    SecretManifest,
    SecretName,
    ServerName,
    ServiceKey,
    Source,
    Text,
)
from mesh.config.models.cilium import CiliumConfig, ClusterCiliumConfig
from mesh.config.models.extensions import ExtensionsConfig
from mesh.config.models.links import LinkOptions
from mesh.config.models.samples import WorkloadConfig
from mesh.config.models.services import NamespaceConfig, ServiceConfig
from mesh.config.models.trust import TrustConfig
from mesh.config.value_checks import build_error
from mesh.linkerd_releases import DEFAULT_LINKERD_VERSION, LINKERD_RELEASES

# The charts of Linkerd and its extensions, whose values a stack file may override.
LinkerdChart = Literal[
    "linkerd-crds",
    "linkerd-control-plane",
    "linkerd2-cni",
    "linkerd-multicluster",
    "service-mirror",
    "linkerd-viz",
    "linkerd-jaeger",
    "linkerd-smi",
]
# Linkerd's own charts share one source. Each other chart has its own.
ChartSourceName = Literal["linkerd", "linkerd-smi", "metallb", "ingress-nginx", "cilium"]


def _validate_reachable(value: Any) -> Any:
    if not isinstance(value, bool) and value != "never":
        raise build_error("not one of true, false, never", "write true or false without quotes, or never")
    return value


class LoadBalancerConfig(StrictModel):
    """Load balancer of the gateway's Service."""

    enabled: bool = True
    """Whether the gateway's Service has the type LoadBalancer; false: ClusterIP, or NodePort with `nodePort`."""
    await_address: bool = Field(default=True, alias="await")
    """Whether `up` waits for the address of the load balancer. With false, the cluster can be a link's target only with
    `gateway.addresses`."""
    annotations: dict[LabelKey, str] = {}
    """Annotations of the Service, such as those that configure a cloud's load balancer."""
    source_ranges: list[Network] = []
    """Networks whose traffic the load balancer accepts; omitted: all."""
    public: bool = False
    """Whether the gateway is public on purpose. An annotation of the Service records this for readers and policies."""


class NodePortsConfig(StrictModel):
    """Node ports of the gateway's Service. `gateway.addresses` lists the addresses of the nodes."""

    port: NodePort
    """Node port of the gateway, usually 30000-32767."""
    probe_port: NodePort
    """Node port of the gateway's probe, usually 30000-32767."""


class GatewayConfig(StrictModel):
    """Exposure of the cluster's gateway to the clusters that link to it."""

    enabled: bool = True
    """Whether the cluster has a gateway. Without one, it can only be the source of links through gateways."""
    load_balancer: Annotated[
        LoadBalancerConfig, *accept_shorthand("enabled", bool, bool | LoadBalancerConfig, "true or false")
    ] = LoadBalancerConfig()
    """Load balancer that assigns the gateway's address. `false` stands for `{ enabled: false }`."""
    node_port: NodePortsConfig | None = None
    """Node ports in place of a load balancer; omitted: none."""
    addresses: list[Address] = []
    """Addresses at which sources reach the gateway; omitted: the address of the load balancer."""
    port: Port | None = None
    """Port at which sources reach the gateway; omitted: the node port, or the Service's port (4143)."""
    probe_port: Port | None = None
    """Port at which sources probe the gateway; omitted: the node port, or the Service's port (4191)."""


class NetworksConfig(StrictModel):
    """Networks of the cluster, for links without a gateway."""

    pods: list[Network] = []
    """Pod networks; omitted: read from the nodes."""
    services: list[Network] = []
    """Service networks, for the check that networks do not overlap; omitted: not checked."""
    flat: Label | None = None
    """Name of the flat network of the pods, chosen by you. Pods of clusters with the same name reach each other."""


class TolerationConfig(StrictModel):
    """Toleration of a node's taint, in the form of Kubernetes."""

    key: LabelKey | None = None
    """Key of the taint; omitted with `operator: Exists`: any key."""
    operator: Literal["Equal", "Exists"] | None = None
    """`Equal` requires the same value, `Exists` accepts any value; omitted: Equal."""
    value: LabelValue | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; omitted: any effect."""
    toleration_seconds: int | None = None
    """Seconds that a pod stays on a node after a NoExecute taint; omitted: indefinitely."""


class ClusterLinkerdConfig(StrictModel):
    """Settings of Linkerd. The same keys below a cluster override them for that cluster."""

    namespace: ControlPlaneNamespace = "linkerd"
    """Namespace of the control plane."""
    cluster_domain: Domain = "cluster.local"
    """Domain of the cluster's DNS names."""
    trust_domain: Domain = "cluster.local"
    """Domain of the identities that the issuer signs."""
    link_tokens: Label | None = None
    """Generation of the tokens with which other clusters read this cluster's services, in quotes, such as "2026-11". A
    new value renews all tokens, and restarts the service mirrors that use them."""
    high_availability: bool = False
    """Whether Linkerd runs with three replicas, production resources and anti-affinity. Pods
    then start only while the proxy injector is available."""
    cni: bool = False
    """Whether Linkerd's CNI plugin redirects the pods' traffic, in place of a privileged init container in each pod."""
    default_inbound_policy: InboundPolicy = "all-unauthenticated"
    """Clients that may call a meshed pod where no policy applies."""
    node_selector: dict[LabelKey, LabelValue] = {}
    """Labels of the nodes that may run Linkerd; omitted: all nodes."""
    tolerations: list[TolerationConfig] = []
    """Taints that Linkerd's pods tolerate; omitted: none."""
    registry: Registry | None = None
    """Registry and path of Linkerd's images; omitted: cr.l5d.io/linkerd."""
    image_pull_secrets: list[SecretName] = []
    """Names of existing Secrets with registry credentials. To have the Secret created, set `imagePullSecret`."""
    values: dict[LinkerdChart, Values] = {}
    """Values by chart, merged key by key over the program's values."""


class LinkerdConfig(ClusterLinkerdConfig):
    """Linkerd in the whole mesh."""

    version: Annotated[LinkerdVersion, Field(examples=list(LINKERD_RELEASES))] = DEFAULT_LINKERD_VERSION
    """Linkerd release, in quotes: a stable release such as "2.14.10", a version such as "2.18", or an edge release such
    as "edge-25.4.4"."""


class ApiServerConfig(StrictModel):
    """Address of the cluster's API server for clusters that link to it, and how they verify its certificate."""

    url: ApiServer | None = None
    """URL at which clusters that link to this one reach its API server; omitted: the kubeconfig's URL."""
    certificate_authority: CertificateAuthority | None = None
    """CA of the certificate at this URL in PEM form, or `system` for public CAs; omitted: with another URL than the
    kubeconfig's, the cluster's own CA, otherwise the kubeconfig's."""
    tls_server_name: ServerName | None = None
    """Name in the certificate, sent in the TLS handshake; omitted: the URL's host, or with the kubeconfig's URL, its
    `tls-server-name`."""
    check: bool = True
    """Whether `up` tries the credentials of links at this URL. Set `false` if the URL leads elsewhere from this
    machine."""


class TimeoutsConfig(StrictModel):
    """Limits of the waits in `up`. After a failed wait, the next `up` waits again."""

    ready: Annotated[int, Field(ge=1, le=24 * 3600)] = 300
    """Seconds until the objects of a Helm release, or of a sample, must be ready."""
    fail_early: bool = True
    """Whether a wait ends after 30 seconds if its cause cannot resolve itself, such as an image that does not exist."""


class ClusterConfig(StrictModel):
    """Cluster of the mesh."""

    context: Text | None = None
    """Context in the kubeconfig; omitted: the cluster's name."""
    kubeconfig: KubeconfigPath | None = None
    """Path of the kubeconfig; omitted: $KUBECONFIG or ~/.kube/config. To store it as a secret, set `kubeconfigs`."""
    reachable: Annotated[
        bool | Literal["never"],
        BeforeValidator(_validate_reachable, json_schema_input_type=Literal[True, False, "never"]),
    ] = True
    """Whether the cluster can be reached. With `false` or `never`, its resources stay unchanged. After an `up` with
    `never`, you can remove the cluster from the file: Pulumi drops its resources from the stack state only."""
    api_server: Annotated[
        ApiServerConfig,
        # Any value but a mapping is a URL, so that messages about values of other types ask for text.
        *accept_shorthand("url", str | int | float | list, ApiServer | ApiServerConfig | None, "a URL"),
        allow_null(ApiServer | ApiServerConfig | None),
    ] = ApiServerConfig()
    """API server, as clusters that link to this one reach it. A URL stands for `{ url: … }`; omitted: as in the
    kubeconfig."""
    gateway: Annotated[GatewayConfig, *accept_shorthand("enabled", bool, bool | GatewayConfig, "true or false")] = (
        GatewayConfig()
    )
    """Exposure of the gateway. `false` stands for `{ enabled: false }`."""
    networks: NetworksConfig = NetworksConfig()
    """Networks of the cluster."""
    renamed_from: ClusterName | None = None
    """Former name of the cluster in this file. The next `up` keeps the cluster's resources, and renames only what
    contains its name. Remove the setting after that `up`."""
    replaces: ClusterUid | None = None
    """First 8 characters of the UID of a cluster that no longer exists and was rebuilt as this one. The next `up`
    creates everything here. Remove the setting after that `up`."""
    adopt: bool = False
    """Whether the stack takes over existing namespaces, Helm releases and links of Linkerd, and Cilium's release."""
    linkerd: ClusterLinkerdConfig = ClusterLinkerdConfig()
    """Settings that override `linkerd` in this cluster."""
    cilium: ClusterCiliumConfig = ClusterCiliumConfig()
    """Settings of the cluster in the ClusterMesh, with `cilium`."""
    timeouts: TimeoutsConfig = TimeoutsConfig()
    """Settings that override `timeouts` in this cluster."""


class LinkEnds(StrictModel):
    """Two clusters of a link."""

    source: str
    """Cluster that can call the target's exported services."""
    target: str
    """Cluster that exports the services."""


class ListedLink(LinkOptions, LinkEnds):
    """Link: the source can call the services that the target exports."""


class TopologyException(StrictModel):
    """Exception from a topology: all links of a source, all links to a target, or one link."""

    source: str | None = None
    """Source of the links; omitted: any cluster."""
    target: str | None = None
    """Target of the links; omitted: any cluster."""


class TopologyPattern(StrictModel):
    """Pattern of links."""

    shape: Literal["full-mesh", "hub"] = "hub"
    """`full-mesh` links every cluster to every other, `hub` every cluster to the hub."""
    hub: str | None = None
    """Cluster in the middle, required with `shape: hub`."""
    direction: Literal["both", "to-hub", "from-hub"] = "both"
    """Direction of a hub's links, from source to target. With `to-hub`, the other clusters can call the hub's exported
    services."""
    exceptions: list[TopologyException] = Field(default=[], alias="except")
    """Links of the pattern to omit."""


class TopologyConfig(LinkOptions, TopologyPattern):
    """Pattern of links with the same options. `links` adds links. `full-mesh` stands for `{ shape: full-mesh }`."""


class ChartsConfig(StrictModel):
    """Sources of the charts."""

    repository: Source | None = None
    """One source of all charts, for closed networks: a repository URL, an oci:// reference or a folder; omitted:
    $MULTICLUSTER_MESH_CHARTS, or each chart's own repository."""
    repositories: dict[ChartSourceName, Source] = {}
    """Sources by chart, in place of `repository`. `linkerd` stands for Linkerd's own charts."""


class PreflightConfig(StrictModel):
    """Checks of the clusters before anything is changed. `false` stands for `{ enabled: false }`."""

    enabled: bool = True
    """Whether the clusters are checked."""
    timeout: Annotated[int, Field(ge=1, le=300)] = 5
    """Time limit for each response of a cluster, in seconds."""


class StackFile(StrictModel):
    """Content of `Pulumi.<stack>.yaml` below `config`, without the prefix `multicluster-mesh:` of its keys."""

    clusters: dict[ClusterName, Annotated[ClusterConfig, allow_null(ClusterConfig | None)]] = {}
    """Clusters by name. A name without settings stands for all defaults."""
    topology: Annotated[
        TopologyConfig | None,
        *accept_shorthand("shape", str, Literal["full-mesh"] | TopologyConfig | None, "full-mesh"),
    ] = None
    """Pattern of links: a full mesh or a hub; omitted: only the links in `links`."""
    links: list[ListedLink] = []
    """Individual links."""
    linkerd: LinkerdConfig = LinkerdConfig()
    """Settings of Linkerd in all clusters. A cluster can override them."""
    cilium: Annotated[CiliumConfig | None, *accept_switch(CiliumConfig | None)] = None
    """Cilium and its ClusterMesh, in place of Linkerd, or combined with Linkerd if `linkerd` is set too."""
    charts: ChartsConfig = ChartsConfig()
    """Sources of the charts."""
    trust: TrustConfig = TrustConfig()
    """Certificates of the mesh."""
    kubeconfigs: dict[str, Secret] = {}
    """Kubeconfigs as secrets, by cluster: the content of a file."""
    image_pull_secret: Secret | None = None
    """Registry credentials for all pods that the program creates: the content of a .dockerconfigjson."""
    preflight: Annotated[
        PreflightConfig, *accept_shorthand("enabled", bool, bool | PreflightConfig, "true or false")
    ] = PreflightConfig()
    """Checks of the clusters before anything is changed."""
    timeouts: TimeoutsConfig = TimeoutsConfig()
    """Limits of the waits in `up`."""
    extensions: ExtensionsConfig = ExtensionsConfig()
    """Extensions of Linkerd, and add-ons that a cluster may need."""
    dashboard_password: Secret | None = None
    """Password of the dashboards' user; omitted: the program creates one. `pulumi stack output -s <stack>
    dashboardPassword --show-secrets` prints it."""
    buoyant_cloud: dict[str, SecretManifest] = {}
    """Manifests of the Buoyant Cloud agent, by cluster: the URL from your account, in plaintext or as a secret."""
    workloads: list[WorkloadConfig] = []
    """Sample workloads."""
    namespaces: dict[Label, Annotated[NamespaceConfig, allow_null(NamespaceConfig | None)]] = {}
    """Namespaces of your own workloads, by name."""
    services: dict[ServiceKey, ServiceConfig] = {}
    """Services of your own, by namespace and name, as in `shop/cart`."""
