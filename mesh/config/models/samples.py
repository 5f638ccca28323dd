"""Models of `workloads`: the sample workloads."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mesh.config.base_model import StrictModel, accept_switch, allow_null
from mesh.config.field_types import (
    Image,
    InboundPolicy,
    Memory,
    MeshIdentity,
    SampleNamespace,
)
from mesh.config.memory import memory_bytes
from mesh.config.models.services import ExportConfig, PolicyForm, ProfileConfig, SplitForm, SplitsConfig


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


class SampleConfig(ExportConfig):
    """Settings of every sample."""

    kind: ClassVar[str]

    clusters: list[str] | None = None
    """Clusters that run the sample; omitted: all clusters."""
    meshed: bool = True
    """Whether the pods join the mesh."""
    default_inbound_policy: InboundPolicy | None = None
    """Clients that may call the pods where no policy applies; omitted: `linkerd.defaultInboundPolicy`."""
    images: dict[str, Image] = {}
    """Images by container, in place of the sample's own images."""


class PodinfoConfig(SampleConfig, SplitsConfig):
    """Sample podinfo: a web service that reports which cluster answered."""

    kind: ClassVar[str] = "podinfo"
    namespace: SampleNamespace = "test"
    """Namespace of the sample."""
    frontend: list[str] = []
    """Clusters that also run `frontend`: an nginx in front of podinfo, and load generators."""
    profile: Annotated[ProfileConfig | None, *accept_switch(ProfileConfig | None)] = None
    """Routes of podinfo. `true` stands for a ServiceProfile with the sample's routes; omitted: none."""
    policy: PolicyForm | None = None
    """Linkerd policy that allows only meshed pods to call podinfo; omitted: none."""
    policy_clients: PolicyClientsConfig | None = None
    """Other clients that `policy` allows; omitted: all meshed pods."""


class HelloworldConfig(SampleConfig, SplitsConfig):
    """Sample helloworld: a service with one version per cluster."""

    kind: ClassVar[str] = "helloworld"
    namespace: SampleNamespace = "default"
    """Namespace of the sample."""
    versions: dict[str, Literal["v1", "v2"]] = {}
    """Version by cluster; omitted: v1."""
    sleep: list[str] = []
    """Clusters that run `sleep`, a pod for sending requests."""


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
    policy: PolicyForm | None = None
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
