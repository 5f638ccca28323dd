"""The part of a stack file that says which sample workloads run where."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mesh.config.base_model import StrictModel, allow_null, switch_shorthand
from mesh.config.field_types import Duration, Image, InboundPolicy, PathRegex, SampleNamespace, Text, Weight

SplitForm = Literal["smi", "gateway-api"]
# How an exported service is reached: through the target's gateway, or its pods themselves.
ExportMode = Literal["gateway", "remote-discovery"]


class SplitConfig(StrictModel):
    """Requests to a service, split between the cluster's own and the mirrors of other clusters' services."""

    cluster: str
    """Where requests are split: a cluster that runs the sample."""
    weights: dict[str, Weight]
    """How they are shared out, by the cluster that answers."""
    form: SplitForm | None = None
    """A TrafficSplit (smi) or Gateway API routes (gateway-api); left out, smi in the clusters of `extensions.smi`."""
    smi_version: Literal["v1alpha1", "v1alpha2"] = "v1alpha1"
    """The API version of a TrafficSplit."""


class FailoverConfig(StrictModel):
    """Requests to a service, answered by other clusters while the cluster's own service is unavailable."""

    cluster: str
    """Where requests are sent: a cluster that runs the sample."""
    backups: list[str]
    """The clusters that answer in its place, each as often as the others."""


class RetryBudget(StrictModel):
    """How many retries there may be."""

    retry_ratio: Annotated[float, Field(ge=0, le=1000)] = 0.2
    """Of all requests, beside those below."""
    min_retries_per_second: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """Those that are always allowed."""
    ttl: Duration = "10s"
    """How long a request counts."""


class RouteConfig(StrictModel):
    """A route of a service: its requests are counted, timed and retried by themselves."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"]
    """The method of its requests."""
    path_regex: PathRegex
    """A regular expression that their whole path matches."""
    name: Text | None = None
    """What statistics call it; left out, its method and path."""
    timeout: Duration | None = None
    """When a request is given up, as in 300ms."""
    is_retryable: bool = False
    """Whether a failed request may be sent again."""
    retry_limit: Annotated[int, Field(ge=1, le=100)] | None = None
    """How often it may be, in the form gateway-api; left out, once."""


class ProfileConfig(StrictModel):
    """Routes, timeouts and retries of a service."""

    form: Literal["service-profile", "gateway-api"] = "service-profile"
    """A ServiceProfile, or an HTTPRoute for each route (gateway-api; from Linkerd 2.16)."""
    routes: list[RouteConfig] = []
    """Its routes; left out, those of the sample."""
    retry_budget: RetryBudget = RetryBudget()
    """How many retries there may be; of a ServiceProfile alone."""


class FaultInjection(StrictModel):
    """A part of the requests to `books` that an `error-injector` answers, with the status 500."""

    percent: Annotated[int, Field(ge=1, le=100)] = 50
    """How many of a hundred."""
    form: SplitForm | None = None
    """By a TrafficSplit (smi) or an HTTPRoute (gateway-api); left out, smi in the clusters of `extensions.smi`."""


class SampleConfig(StrictModel):
    """Settings that all samples share."""

    kind: ClassVar[str]

    clusters: list[str] | None = None
    """Where it runs; left out, on all clusters."""
    exported: list[str] = []
    """The clusters whose services of it are seen by the clusters that link to them."""
    export_mode: ExportMode | None = None
    """How those are reached: through the gateway, or their pods themselves, on one flat network. Left out, as the links
    to the cluster do."""
    federated: list[str] = []
    """The clusters whose services of it are members of a federated service, `<service>-federated` (from 2.17)."""
    meshed: bool = True
    """False: its pods stay outside the mesh."""
    default_inbound_policy: InboundPolicy | None = None
    """Who may call its pods where no policy says more; left out, what Linkerd's own setting says."""
    images: dict[str, Image] = {}
    """Images in place of the sample's own, by container."""


class PodinfoConfig(SampleConfig):
    """The podinfo sample: a web service that says which cluster answered."""

    kind: ClassVar[str] = "podinfo"
    namespace: SampleNamespace = "test"
    """Its namespace."""
    frontend: list[str] = []
    """Where a `frontend`, an nginx that asks podinfo, runs beside it."""
    splits: list[SplitConfig] = []
    """Requests to podinfo, split between clusters."""
    failover: list[FailoverConfig] = []
    """Requests to podinfo, answered elsewhere while it is unavailable."""
    profile: Annotated[ProfileConfig | None, *switch_shorthand(ProfileConfig | None)] = None
    """Routes of podinfo. `true` is short for a ServiceProfile with the sample's own."""
    policy: Literal["server-authorization", "authorization-policy"] | None = None
    """Let only meshed pods call it, by one form of Linkerd's policy or the other."""


class HelloworldConfig(SampleConfig):
    """The helloworld sample: a service of which each cluster has one version."""

    kind: ClassVar[str] = "helloworld"
    namespace: SampleNamespace = "default"
    """Its namespace."""
    versions: dict[str, Literal["v1", "v2"]] = {}
    """Which version runs where, by cluster; left out, v1."""
    sleep: list[str] = []
    """Where `sleep`, a pod to send requests from, runs as well."""
    splits: list[SplitConfig] = []
    """Requests to helloworld, split between clusters."""
    failover: list[FailoverConfig] = []
    """Requests to helloworld, answered elsewhere while it is unavailable."""


class BooksappConfig(SampleConfig):
    """The booksapp sample: a web application of three services, one of which fails now and then."""

    kind: ClassVar[str] = "booksapp"
    namespace: SampleNamespace = "booksapp"
    """Its namespace."""
    exported_services: list[Literal["webapp", "authors", "books"]] = ["webapp"]
    """Which of its services `exported` is about."""
    profile: Annotated[ProfileConfig | None, *switch_shorthand(ProfileConfig | None)] = None
    """Routes of webapp. `true` is short for a ServiceProfile with the sample's own."""
    fault_injection: Annotated[FaultInjection | None, *switch_shorthand(FaultInjection | None)] = None
    """Faults that are injected into `books`. `true` is short for half of all requests."""


class EmojivotoConfig(SampleConfig):
    """The emojivoto sample: a web application of three services, and a bot that votes."""

    kind: ClassVar[str] = "emojivoto"
    namespace: SampleNamespace = "emojivoto"
    """Its namespace."""
    exported_services: list[Literal["web-svc", "emoji-svc", "voting-svc"]] = ["web-svc"]
    """Which of its services `exported` is about."""
    policy: Literal["server-authorization", "authorization-policy"] | None = None
    """Let only `web` call the two services behind it, by one form of Linkerd's policy or the other."""


class UserlistConfig(SampleConfig):
    """The userlist sample: a service that all clusters of a ClusterMesh answer for, and a pod to ask it from."""

    kind: ClassVar[str] = "userlist"
    namespace: SampleNamespace = "song"
    """Its namespace."""
    shared: list[str] | None = None
    """The clusters whose pods answer requests of others; left out, all that run it."""
    affinity: Literal["local", "remote", "none"] = "none"
    """Who answers first: pods of the cluster itself, those of others, or any."""
    curltest: list[str] | None = None
    """Where `curltest`, a pod to send requests from, runs as well; left out, wherever userlist does."""


class WorkloadConfig(StrictModel):
    """One sample workload; nothing after its name stands for all its defaults."""

    podinfo: Annotated[PodinfoConfig | None, allow_null(PodinfoConfig | None)] = None
    """A web service that says which cluster answered."""
    helloworld: Annotated[HelloworldConfig | None, allow_null(HelloworldConfig | None)] = None
    """A service of which each cluster has one version."""
    booksapp: Annotated[BooksappConfig | None, allow_null(BooksappConfig | None)] = None
    """A web application that fails now and then."""
    emojivoto: Annotated[EmojivotoConfig | None, allow_null(EmojivotoConfig | None)] = None
    """A web application with a bot that votes."""
    userlist: Annotated[UserlistConfig | None, allow_null(UserlistConfig | None)] = None
    """A service that all clusters of a ClusterMesh answer for."""
