"""Models of `workloads`: the sample workloads."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mesh.config.base_model import StrictModel, accept_switch, allow_null
from mesh.config.field_types import (
    Duration,
    Image,
    InboundPolicy,
    Memory,
    MeshIdentity,
    PathRegex,
    SampleNamespace,
    Text,
    Weight,
)
from mesh.config.memory import memory_bytes

SplitForm = Literal["smi", "gateway-api"]
# Through the target's gateway, or directly from pod to pod.
ExportMode = Literal["gateway", "remote-discovery"]


class SplitConfig(StrictModel):
    """Traffic split between the cluster's own service and the mirrors of other clusters' services."""

    cluster: str
    """Cluster whose requests are split; this cluster must run the sample."""
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
    """Cluster whose requests fail over; this cluster must run the sample."""
    backups: list[str]
    """Clusters that answer instead, in equal shares."""


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


class ProfileConfig(StrictModel):
    """Routes of a service, with timeouts and retries."""

    form: Literal["service-profile", "gateway-api"] = "service-profile"
    """`service-profile` creates a ServiceProfile, `gateway-api` an HTTPRoute per route, from Linkerd 2.16."""
    routes: list[RouteConfig] = []
    """Routes; omitted: the routes of the sample."""
    retry_budget: RetryBudget = RetryBudget()
    """Limit of retries, only with `form: service-profile`."""


class FaultInjection(StrictModel):
    """Fault injection: an `error-injector` answers a share of the requests to `books` with status 500."""

    percent: Annotated[int, Field(ge=1, le=100)] = 50
    """Percentage of the requests that fail."""
    form: SplitForm | None = None
    """`smi` creates a TrafficSplit, `gateway-api` an HTTPRoute; omitted: smi in clusters with `extensions.smi`,
    otherwise gateway-api."""


class PolicyClientsConfig(StrictModel):
    """Clients that a policy allows: exactly one of the two keys."""

    unauthenticated_tls: Annotated[bool, Field(alias="unauthenticatedTLS")] = False
    """Whether clients need TLS, but no identity. Needs `policy: server-authorization`."""
    identities: list[MeshIdentity] | None = None
    """Identities of the clients, such as `web.emojivoto.serviceaccount.identity.linkerd.cluster.local`; `*` at the
    beginning matches any."""


class SampleConfig(StrictModel):
    """Settings of every sample."""

    kind: ClassVar[str]

    clusters: list[str] | None = None
    """Clusters that run the sample; omitted: all clusters."""
    exported: list[str] = []
    """Clusters that export the sample's services to the clusters that link to them."""
    export_mode: ExportMode | None = None
    """How sources reach the exported services: through the `gateway`, or by `remote-discovery` on a flat network;
    omitted: remote-discovery if no link to the cluster has a gateway, otherwise gateway."""
    federated: list[str] = []
    """Clusters whose services join the federated service `<service>-federated`. Needs Linkerd 2.17 or later."""
    meshed: bool = True
    """Whether the pods join the mesh."""
    default_inbound_policy: InboundPolicy | None = None
    """Clients that may call the pods where no policy applies; omitted: `linkerd.defaultInboundPolicy`."""
    images: dict[str, Image] = {}
    """Images by container, in place of the sample's own images."""


class PodinfoConfig(SampleConfig):
    """Sample podinfo: a web service that reports which cluster answered."""

    kind: ClassVar[str] = "podinfo"
    namespace: SampleNamespace = "test"
    """Namespace of the sample."""
    frontend: list[str] = []
    """Clusters that also run `frontend`: an nginx in front of podinfo, and load generators."""
    splits: list[SplitConfig] = []
    """Traffic splits of requests to podinfo."""
    failover: list[FailoverConfig] = []
    """Failover of requests to podinfo."""
    profile: Annotated[ProfileConfig | None, *accept_switch(ProfileConfig | None)] = None
    """Routes of podinfo. `true` stands for a ServiceProfile with the sample's routes; omitted: none."""
    policy: Literal["server-authorization", "authorization-policy"] | None = None
    """Linkerd policy that allows only meshed pods to call podinfo; omitted: none."""
    policy_clients: PolicyClientsConfig | None = None
    """Other clients that `policy` allows; omitted: all meshed pods."""


class HelloworldConfig(SampleConfig):
    """Sample helloworld: a service with one version per cluster."""

    kind: ClassVar[str] = "helloworld"
    namespace: SampleNamespace = "default"
    """Namespace of the sample."""
    versions: dict[str, Literal["v1", "v2"]] = {}
    """Version by cluster; omitted: v1."""
    sleep: list[str] = []
    """Clusters that run `sleep`, a pod for sending requests."""
    splits: list[SplitConfig] = []
    """Traffic splits of requests to helloworld."""
    failover: list[FailoverConfig] = []
    """Failover of requests to helloworld."""


class BooksappConfig(SampleConfig):
    """Sample booksapp: a web application of three services, one of which fails sometimes."""

    kind: ClassVar[str] = "booksapp"
    namespace: SampleNamespace = "booksapp"
    """Namespace of the sample."""
    exported_services: list[Literal["webapp", "authors", "books"]] = ["webapp"]
    """Services that `exported` exports."""
    profile: Annotated[ProfileConfig | None, *accept_switch(ProfileConfig | None)] = None
    """Routes of webapp. `true` stands for a ServiceProfile with the sample's routes; omitted: none."""
    fault_injection: Annotated[FaultInjection | None, *accept_switch(FaultInjection | None)] = None
    """Faults injected into `books`. `true` stands for 50 % of the requests; omitted: none."""


class EmojivotoConfig(SampleConfig):
    """Sample emojivoto: a web application of three services, and a bot that votes."""

    kind: ClassVar[str] = "emojivoto"
    namespace: SampleNamespace = "emojivoto"
    """Namespace of the sample."""
    exported_services: list[Literal["web-svc", "emoji-svc", "voting-svc"]] = ["web-svc"]
    """Services that `exported` exports."""
    policy: Literal["server-authorization", "authorization-policy"] | None = None
    """Linkerd policy that allows only `web` to call the two services behind it; omitted: none."""
    policy_clients: PolicyClientsConfig | None = None
    """Other clients that `policy` allows; omitted: only `web`."""


class MemoryConfig(StrictModel):
    """Memory of a container."""

    request: Memory | None = None
    """Memory that the scheduler reserves; omitted: 128Mi, or the limit if that is less."""
    limit: Memory | None = None
    """Memory above which the container is killed; omitted: 512Mi, or the request if that is more."""

    def resolve(self) -> tuple[str, str]:
        """Return the request and the limit."""
        request, limit = self.request or "128Mi", self.limit or "512Mi"
        if memory_bytes(request) > memory_bytes(limit):
            if self.request is None:
                request = limit
            elif self.limit is None:
                limit = request
        return request, limit


class UserlistConfig(SampleConfig):
    """Sample userlist: a global service of a ClusterMesh, and a pod that sends requests to it."""

    kind: ClassVar[str] = "userlist"
    namespace: SampleNamespace = "song"
    """Namespace of the sample."""
    shared: list[str] | None = None
    """Clusters whose pods answer requests from other clusters; omitted: all clusters that run the sample."""
    affinity: Literal["local", "remote", "none"] = "none"
    """Preferred pods: those of the same cluster (`local`), those of other clusters (`remote`), or any (`none`)."""
    curltest: list[str] | None = None
    """Clusters that run `curltest`, a pod for sending requests; omitted: all clusters that run the sample."""
    memory: MemoryConfig = MemoryConfig()
    """Memory of the container `userlist`."""


class WorkloadConfig(StrictModel):
    """One sample workload. A name without settings stands for all its defaults."""

    podinfo: Annotated[PodinfoConfig | None, allow_null(PodinfoConfig | None)] = None
    """podinfo: a web service that reports which cluster answered."""
    helloworld: Annotated[HelloworldConfig | None, allow_null(HelloworldConfig | None)] = None
    """helloworld: a service with one version per cluster."""
    booksapp: Annotated[BooksappConfig | None, allow_null(BooksappConfig | None)] = None
    """booksapp: a web application that fails sometimes."""
    emojivoto: Annotated[EmojivotoConfig | None, allow_null(EmojivotoConfig | None)] = None
    """emojivoto: a web application with a bot that votes."""
    userlist: Annotated[UserlistConfig | None, allow_null(UserlistConfig | None)] = None
    """userlist: a global service of a ClusterMesh."""
