"""Models of `namespaces` and `services`, and of the traffic rules that services and samples share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mesh.config.base_model import StrictModel, accept_shorthand
from mesh.config.field_types import (
    Client,
    DocumentPath,
    Duration,
    InboundPolicy,
    MeshIdentity,
    Network,
    PathRegex,
    Port,
    PortRange,
    Text,
    Weight,
)
from mesh.service_profiles.routes import ProfileRoute

SplitForm = Literal["smi", "gateway-api"]
# Through the target's gateway, or directly from pod to pod.
ExportMode = Literal["gateway", "remote-discovery"]
PolicyForm = Literal["server-authorization", "authorization-policy"]
PortProtocol = Literal["detect", "http", "http2", "grpc", "tcp"]


class ExportConfig(StrictModel):
    """Export of services to other clusters."""

    clusters: list[str] | None = None
    """Clusters that have the service."""
    exported: list[str] = []
    """Clusters that export the service to the clusters that link to them."""
    export_mode: ExportMode | None = None
    """How sources reach the exported service: through the `gateway`, or by `remote-discovery` on a flat network;
    omitted: remote-discovery if no link to the cluster has a gateway, otherwise gateway."""
    federated: list[str] = []
    """Clusters whose service joins the federated service `<service>-federated`. Needs Linkerd 2.17 or later."""


class SplitConfig(StrictModel):
    """Traffic split between the cluster's own service and the mirrors of other clusters' services."""

    cluster: str
    """Cluster whose requests are split; this cluster must have the service."""
    weights: dict[str, Weight]
    """Weight of each cluster that answers, 0 to 1000000."""
    form: SplitForm | None = None
    """`smi` creates a TrafficSplit, `gateway-api` routes; omitted: smi in clusters with `extensions.smi`, otherwise
    gateway-api."""
    smi_version: Literal["v1alpha1", "v1alpha2"] = "v1alpha1"
    """API version of the TrafficSplit."""


class FailoverConfig(StrictModel):
    """Failover to other clusters while the cluster's own service is unavailable."""

    cluster: str
    """Cluster whose requests fail over; this cluster must have the service."""
    to: list[str] = []
    """Clusters that answer instead, in equal shares."""
    backups: list[str] = []
    """Former name of `to`."""

    @property
    def targets_key(self) -> str:
        """Return the key of the clusters that answer instead."""
        return "backups" if "backups" in self.model_fields_set else "to"

    @property
    def targets(self) -> list[str]:
        """Return the clusters that answer instead."""
        return self.backups or self.to


class SplitsConfig(ExportConfig):
    """Splits and failovers of requests to a service, and its exports."""

    splits: list[SplitConfig] = []
    """Traffic splits of requests to the service."""
    failover: list[FailoverConfig] = []
    """Failover of requests to the service."""


class RetryBudget(StrictModel):
    """Limit of retries of a ServiceProfile."""

    retry_ratio: Annotated[float, Field(ge=0, le=1000)] = 0.2
    """Number of retries in addition to the requests, as a share: 0.2 is 20 %."""
    min_retries_per_second: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """Retries per second that are always allowed."""
    ttl: Duration = "10s"
    """Period over which requests count for the ratio, with its unit."""


class RouteConfig(StrictModel):
    """Route of a service, with its own metrics, timeout and retries."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"]
    """HTTP method of the requests."""
    path_regex: PathRegex
    """Regular expression that matches the whole path of the requests."""
    name: Text | None = None
    """Name in metrics; omitted: the method and the path."""
    timeout: Duration | None = None
    """Timeout of a request, with its unit, as in 300ms; omitted: Linkerd's default."""
    is_retryable: bool = False
    """Whether a failed request is retried."""
    retry_limit: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of retries of a request, only with `form: gateway-api`; omitted: 1."""

    def to_route(self) -> ProfileRoute:
        """Return the route in the form of routes from documents."""
        return ProfileRoute(
            name=self.name or f"{self.method} {self.path_regex}",
            method=self.method,
            path_regex=self.path_regex,
            timeout=self.timeout,
            is_retryable=self.is_retryable,
            retry_limit=self.retry_limit,
        )


class ProfileConfig(StrictModel):
    """Routes of a service, with timeouts and retries."""

    form: Literal["service-profile", "gateway-api"] = "service-profile"
    """`service-profile` creates a ServiceProfile, `gateway-api` an HTTPRoute per route, from Linkerd 2.16."""
    routes: list[RouteConfig] = []
    """Routes; omitted: those of `openapi` or `protobuf`, or the routes of the sample."""
    openapi: DocumentPath | None = None
    """Path of an OpenAPI document with the routes, relative to the stack file, as for `linkerd profile --open-api`."""
    protobuf: DocumentPath | None = None
    """Path of a .proto file with the routes, relative to the stack file, as for `linkerd profile --proto`."""
    retry_budget: RetryBudget = RetryBudget()
    """Limit of retries, only with `form: service-profile`."""


class PortConfig(StrictModel):
    """Port of a service. A number stands for `{ port: … }`."""

    port: Port
    """Port of the Service."""
    protocol: PortProtocol = "detect"
    """Protocol of the port. With `detect`, it is the Service's `appProtocol`, or else Linkerd detects it; `tcp` is
    opaque data."""


class AllowConfig(StrictModel):
    """Clients that may call a service. A client must match all keys of the entry."""

    client: Annotated[Client | None, Field(alias="from")] = None
    """Service account of the clients, as in `shop/cart`; `shop/*` for all of a namespace, `*` for all meshed
    clients."""
    clusters: list[str] | None = None
    """Clusters of the clients of `from`; omitted: the cluster of the service. Through a gateway, the
    gateway's identity replaces the client's."""
    identities: list[MeshIdentity] = []
    """Identities of the clients in the form of Linkerd; `*` at the beginning matches any."""
    networks: list[Network] = []
    """Networks of the clients, as in 10.0.0.0/8."""
    unauthenticated: bool = False
    """Whether clients need no identity; without `networks`, from any address."""
    unauthenticated_tls: Annotated[bool, Field(alias="unauthenticatedTLS")] = False
    """Whether clients need TLS, but no identity. Needs `policy: server-authorization`."""


class ServiceConfig(SplitsConfig):
    """A service that others deploy, and what the mesh does with it."""

    clusters: list[str] | None = None
    """Clusters that have the service; omitted: those that its other settings name, or else those of its namespace, or
    else all clusters."""
    optional: bool = False
    """Whether the service may be missing. Its settings then wait for an `up` that finds it."""
    ports: list[Annotated[PortConfig, *accept_shorthand("port", int, int | PortConfig, "a port")]] = []
    """Ports for splits, failover, profile and policy; omitted: all TCP ports of the service."""
    profile: ProfileConfig | None = None
    """Routes of the service, with timeouts and retries; omitted: none."""
    allow: list[AllowConfig] | None = None
    """Clients that may call the service, and no others; omitted: the policy of the namespace or cluster applies."""
    policy: PolicyForm = "authorization-policy"
    """Form of `allow`: an AuthorizationPolicy, or the older ServerAuthorization."""


class NamespaceConfig(StrictModel):
    """A namespace, and how its pods join the mesh."""

    clusters: list[str] | None = None
    """Clusters with the namespace; omitted: all clusters."""
    create: bool = False
    """Whether the stack creates the namespace, and deletes it with everything in it."""
    optional: bool = False
    """Whether the namespace may be missing. Its settings then wait for an `up` that finds it."""
    meshed: bool | None = None
    """Whether new pods join the mesh; omitted: as the namespace is annotated."""
    restart: bool = False
    """Whether `up` restarts the workloads whose pods do not match `meshed`, one after the other."""
    default_inbound_policy: InboundPolicy | None = None
    """Clients that may call the pods where no policy applies; omitted: `linkerd.defaultInboundPolicy`."""
    opaque_ports: list[PortRange] = []
    """Ports or ranges whose protocol Linkerd does not detect, as in 5432 or 3000-3010; omitted: Linkerd's default."""
    skip_inbound_ports: list[PortRange] = []
    """Ports or ranges whose incoming connections bypass the proxy."""
    skip_outbound_ports: list[PortRange] = []
    """Ports or ranges whose outgoing connections bypass the proxy."""
