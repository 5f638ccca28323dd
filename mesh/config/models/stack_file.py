"""The stack file as its user writes it: one definition, from which the strict load and the editors' schema come.

Every default is here. What may stand beside what is said in `clusters`, `links`, `trust` and `samples`; what it all
comes to, in `resolved`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mesh.config.base_model import StrictModel, Values, allow_null, shorthand, switch_shorthand
from mesh.config.field_types import (
    Address,
    ApiServer,
    ClusterName,
    ControlPlaneNamespace,
    Domain,
    Hours,
    InboundPolicy,
    KubeconfigPath,
    Label,
    LabelKey,
    LabelValue,
    LinkerdVersion,
    Network,
    NodePort,
    Pem,
    Port,
    Registry,
    Secret,
    SecretManifest,
    SecretName,
    Source,
    Text,
    validation_error,
)
from mesh.config.models.cilium import CiliumConfig, ClusterCiliumConfig
from mesh.config.models.extensions import ExtensionsConfig
from mesh.config.models.links import LinkOptions
from mesh.config.models.samples import WorkloadConfig
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
# Those that are Linkerd's own come from one repository; the others have one each.
ChartSourceName = Literal["linkerd", "linkerd-smi", "metallb", "ingress-nginx", "cilium"]


def _reachable(value: Any) -> Any:
    if not isinstance(value, bool) and value != "never":
        raise validation_error("not one of true, false, never", "write true or false without quotes, or never")
    return value


class LoadBalancerConfig(StrictModel):
    """What the gateway's Service asks of the cluster's load balancer."""

    enabled: bool = True
    """False: nothing gives the gateway an address, and nothing waits for one."""
    annotations: dict[LabelKey, str] = {}
    """Annotations of the Service, by which clouds configure their load balancers."""
    source_ranges: list[Network] = []
    """The networks whose traffic the load balancer lets in; left out, all."""
    public: bool = False
    """True says that all may come in on purpose: an annotation of the Service, for who reads it and for policies."""


class NodePortsConfig(StrictModel):
    """The gateway's Service as a NodePort; `gateway.addresses` says at which nodes."""

    port: NodePort
    """The node port of the gateway, usually 30000-32767."""
    probe_port: NodePort
    """The node port of its probe."""


class GatewayConfig(StrictModel):
    """How the cluster's gateway can be reached by the clusters that link to it."""

    enabled: bool = True
    """False: no gateway at all, so that the cluster can only be a source."""
    load_balancer: Annotated[
        LoadBalancerConfig, *shorthand("enabled", bool, bool | LoadBalancerConfig, "true or false")
    ] = LoadBalancerConfig()
    """A load balancer gives the gateway its address. `false` is short for `{ enabled: false }`."""
    node_port: NodePortsConfig | None = None
    """Node ports in place of a load balancer."""
    addresses: list[Address] = []
    """Where peers reach the gateway, in place of what its Service says."""
    port: Port | None = None
    """The port at which they do, in place of the Service's (4143)."""
    probe_port: Port | None = None
    """The port at which they probe it, in place of the Service's (4191)."""


class NetworksConfig(StrictModel):
    """The cluster's own networks, where links without a gateway need to know them."""

    pods: list[Network] = []
    """Pod networks; left out, what the nodes say."""
    services: list[Network] = []
    """Service networks."""
    flat: Label | None = None
    """The flat network that its pods are on, by any name: pods of clusters of the same one reach one another."""


class TolerationConfig(StrictModel):
    """A toleration of a node's taint, as Kubernetes has it."""

    key: LabelKey | None = None
    """The taint's key; left out, with the operator Exists, any."""
    operator: Literal["Equal", "Exists"] | None = None
    """Whether the taint's value must be the same (left out), or may be any."""
    value: LabelValue | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; left out, any."""
    toleration_seconds: int | None = None
    """How long a pod stays on a node that gets a taint with NoExecute; left out, for ever."""


class ClusterLinkerdConfig(StrictModel):
    """What Linkerd is like; the same keys under a cluster override these for that cluster."""

    namespace: ControlPlaneNamespace = "linkerd"
    """The control plane's namespace."""
    cluster_domain: Domain = "cluster.local"
    """The domain of the cluster's DNS names."""
    trust_domain: Domain = "cluster.local"
    """The domain of the identities that its issuer signs."""
    link_tokens: Label | None = None
    """The generation of the tokens by which other clusters read this one's services, such as "2026-11" (in quotes): a
    new one renews them all, and the service mirrors that use them."""
    high_availability: bool = False
    """Three replicas, resources for production, anti-affinity, and pods that don't start without the injector."""
    cni: bool = False
    """Set up the pods' traffic by Linkerd's CNI plugin, in place of a privileged init container in each."""
    default_inbound_policy: InboundPolicy = "all-unauthenticated"
    """Who may call a meshed pod for which no policy says more."""
    node_selector: dict[LabelKey, LabelValue] = {}
    """Labels of the nodes that may run Linkerd."""
    tolerations: list[TolerationConfig] = []
    """Taints that Linkerd's pods tolerate."""
    registry: Registry | None = None
    """Where Linkerd's images come from, in place of cr.l5d.io/linkerd."""
    image_pull_secrets: list[SecretName] = []
    """Names of Secrets to pull images with, which something else puts into the namespaces; see `imagePullSecret`."""
    values: dict[LinkerdChart, Values] = {}
    """Values of charts, by chart, merged over all others, key by key."""


class LinkerdConfig(ClusterLinkerdConfig):
    """The mesh's Linkerd."""

    version: Annotated[LinkerdVersion, Field(examples=list(LINKERD_RELEASES))] = DEFAULT_LINKERD_VERSION
    """The release of Linkerd, in quotes: a stable one such as "2.14.10", a version of the edge line such as "2.18", or
    one edge release such as "edge-25.4.4"."""


class ClusterConfig(StrictModel):
    """One cluster of the mesh."""

    context: Text | None = None
    """Its context in the kubeconfig; left out, the cluster's name."""
    kubeconfig: KubeconfigPath | None = None
    """The path of its kubeconfig; left out, $KUBECONFIG or ~/.kube/config. As a secret: see `kubeconfigs`."""
    reachable: Annotated[
        bool | Literal["never"], BeforeValidator(_reachable, json_schema_input_type=Literal[True, False, "never"])
    ] = True
    """False: it is down, and everything of it stays as it is. never: it won't come back, and is to be forgotten."""
    api_server: ApiServer | None = None
    """The URL at which the clusters that link to this one reach its API server; left out, the kubeconfig's."""
    gateway: Annotated[GatewayConfig, *shorthand("enabled", bool, bool | GatewayConfig, "true or false")] = (
        GatewayConfig()
    )
    """How its gateway can be reached. `false` is short for `{ enabled: false }`."""
    networks: NetworksConfig = NetworksConfig()
    """Its own networks."""
    adopt: bool = False
    """Take over the namespaces and Helm releases of Linkerd that somebody else has made in it."""
    linkerd: ClusterLinkerdConfig = ClusterLinkerdConfig()
    """What differs from `linkerd` in this cluster."""
    cilium: ClusterCiliumConfig = ClusterCiliumConfig()
    """Its part in the ClusterMesh, where `cilium` is set."""


class LinkEnds(StrictModel):
    """The two clusters of a link."""

    source: str
    """The cluster that sees the other's services."""
    target: str
    """The cluster whose exported services are seen."""


class ListedLink(LinkOptions, LinkEnds):
    """A link: the source sees the services that the target exports."""


class TopologyException(StrictModel):
    """Links that a topology leaves out: from a source, to a target, or, with both, one."""

    source: str | None = None
    """Left out: any."""
    target: str | None = None
    """Left out: any."""


class TopologyPattern(StrictModel):
    """Which links there are."""

    shape: Literal["full-mesh", "hub"] = "hub"
    """full-mesh: every cluster sees every other. hub: every cluster and the hub."""
    hub: str | None = None
    """The cluster in the middle."""
    direction: Literal["both", "to-hub", "from-hub"] = "both"
    """Of a hub's links, from source to target. to-hub: the others see what the hub exports."""
    exceptions: list[TopologyException] = Field(default=[], alias="except")
    """Links that the pattern has and this mesh has not."""


class TopologyConfig(LinkOptions, TopologyPattern):
    """Links by their pattern, all alike; `links` adds more of them. `full-mesh` is short for `{ shape: full-mesh }`."""


class ChartsConfig(StrictModel):
    """Where charts come from."""

    repository: Source | None = None
    """One place that has them all, as a closed network does: a chart repository's URL, an oci:// reference or a folder;
    left out, $MULTICLUSTER_MESH_CHARTS, else each chart's own repository."""
    repositories: dict[ChartSourceName, Source] = {}
    """Where some of them come from, in place of `repository`; `linkerd` stands for Linkerd's own charts."""


class AnchorConfig(StrictModel):
    """A trust anchor of your own."""

    certificate: Pem
    """PEM. Several, one after the other, are all trusted; the first one signs."""
    key: Secret | None = None
    """Its private key, PEM; needed where issuers are made by this program, or by cert-manager without an issuerRef."""


class IssuerConfig(StrictModel):
    """An issuer of your own, for one cluster."""

    certificate: Pem
    """PEM: the issuer, then intermediates between it and the trust anchor."""
    key: Secret
    """Its private key, PEM."""


class IssuerReference(StrictModel):
    """An issuer of cert-manager that is there already and signs for your trust anchor, in each cluster."""

    name: Text
    """Its name."""
    kind: Annotated[Text, Field(examples=["ClusterIssuer", "Issuer"])] = "ClusterIssuer"
    """Its kind: ClusterIssuer, or Issuer, which is looked for in Linkerd's namespace, or one of another group."""
    group: Text = "cert-manager.io"
    """The API group of its kind, for issuers that cert-manager doesn't bring itself."""


class CertManagerConfig(StrictModel):
    """cert-manager renews the issuers; it must run in each cluster already."""

    issuer_ref: IssuerReference | None = None
    """Who signs; left out, an Issuer is made of the trust anchor and its key."""
    duration: Hours = 48
    """Hours that an issuer is valid."""
    renew_before: Hours = 25
    """Hours before its end at which it is renewed."""


class LifetimesConfig(StrictModel):
    """Validity in hours of what this program makes."""

    anchor: Hours = 10 * 8760
    """The trust anchor: replaced only on purpose."""
    issuer: Hours = 8760
    """A cluster's issuer."""
    webhooks: Hours = 8760
    """The certificates of webhooks; their CA lives as long as the trust anchor."""
    renew_before: Hours = 60 * 24
    """An `up` in these last hours of an issuer or a webhook's certificate renews it."""


class TrustConfig(StrictModel):
    """What the mesh trusts; left out, this program makes it all."""

    anchor: AnchorConfig | None = None
    """A trust anchor of your own."""
    issuers: dict[str, IssuerConfig] = {}
    """Issuers of your own, by cluster: for every cluster, or none."""
    cert_manager: Annotated[CertManagerConfig | None, *switch_shorthand(CertManagerConfig | None)] = None
    """Let cert-manager renew the issuers. `true` is short for its defaults."""
    lifetimes: LifetimesConfig = LifetimesConfig()
    """Hours of validity."""


class PreflightConfig(StrictModel):
    """What clusters are asked before anything is changed. `false` is short for `{ enabled: false }`."""

    enabled: bool = True
    """False: nothing is asked."""
    timeout: Annotated[int, Field(ge=1, le=300)] = 5
    """Seconds that a cluster has to answer."""


class StackFile(StrictModel):
    """All that `Pulumi.<stack>.yaml` says below `config`, its keys without `multicluster-mesh:`."""

    clusters: dict[ClusterName, Annotated[ClusterConfig, allow_null(ClusterConfig | None)]] = {}
    """The clusters, by name; nothing after a name's colon stands for all defaults."""
    topology: Annotated[
        TopologyConfig | None, *shorthand("shape", str, Literal["full-mesh"] | TopologyConfig | None, "full-mesh")
    ] = None
    """Links by a pattern: full-mesh, or a hub."""
    links: list[ListedLink] = []
    """Links, one by one."""
    linkerd: LinkerdConfig = LinkerdConfig()
    """What Linkerd is like everywhere, unless a cluster says otherwise."""
    cilium: Annotated[CiliumConfig | None, *switch_shorthand(CiliumConfig | None)] = None
    """Cilium and its ClusterMesh: in place of Linkerd, or beside it where `linkerd` is set too."""
    charts: ChartsConfig = ChartsConfig()
    """Where charts come from."""
    trust: TrustConfig = TrustConfig()
    """What the mesh trusts."""
    kubeconfigs: dict[str, Secret] = {}
    """Kubeconfigs as secrets of the stack, by cluster: the content of a file."""
    image_pull_secret: Secret | None = None
    """Registry credentials, the content of a .dockerconfigjson, for all that this program puts on the clusters."""
    preflight: Annotated[PreflightConfig, *shorthand("enabled", bool, bool | PreflightConfig, "true or false")] = (
        PreflightConfig()
    )
    """What clusters are asked before anything is changed."""
    extensions: ExtensionsConfig = ExtensionsConfig()
    """Extensions of Linkerd, and what a cluster may lack."""
    dashboard_password: Secret | None = None
    """The password of the dashboards' user; left out, one is made: `pulumi stack output dashboardPassword
    --show-secrets`."""
    buoyant_cloud: dict[str, SecretManifest] = {}
    """Manifests of the Buoyant Cloud agent, by cluster: the URL that an account gives, in clear or as a secret."""
    workloads: list[WorkloadConfig] = []
    """Samples."""
