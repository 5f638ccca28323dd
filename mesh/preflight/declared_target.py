"""Input of the checks of declared services and namespaces: what the stack file requires of one cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mesh.config import ClusterSettings, Settings
from mesh.config.models.services import AllowConfig, PortConfig
from mesh.export_labels import export_labels
from mesh.mirrors import list_mirror_names


@dataclass(frozen=True, kw_only=True)
class AllowedAccount:
    """A service account of the service's own cluster that `allow` names."""

    namespace: str
    name: str
    index: int  # index of the entry

    @property
    def key(self) -> str:
        """Return the account as in the stack file."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class ServiceTarget:
    """A declared service, as one of its clusters must have it."""

    namespace: str
    name: str
    is_optional: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)  # labels of its export
    needs_endpoints: bool = False  # whether requests are routed to it
    ports: tuple[PortConfig, ...] = ()  # ports in the stack file; empty: all
    has_policy: bool = False
    allows_networks: bool = False  # whether the policy allows clients without an identity
    accounts: tuple[AllowedAccount, ...] = ()  # service accounts that the policy allows
    has_routes: bool = False  # splits, failover or a profile on this cluster
    is_split: bool = False  # splits or failover on this cluster
    needs_http: bool = False  # whether routes match its requests
    has_port_routes: bool = False  # whether each port has a route, of the kind of its protocol

    @property
    def key(self) -> str:
        """Return the service's key in the stack file."""
        return f"{self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """Return the path of the service in the stack file."""
        return f"services.{self.key}"


@dataclass(frozen=True, kw_only=True)
class NamespaceTarget:
    """A declared namespace."""

    name: str
    is_optional: bool = False
    is_created: bool = False  # whether the stack creates it
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Return the path of the namespace in the stack file."""
        return f"namespaces.{self.name}"


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """A Service that Linkerd creates in a source for a service of another cluster."""

    namespace: str
    name: str
    service: str  # key of the service
    target: str  # cluster that exports it


@dataclass(frozen=True, kw_only=True)
class DeclaredTarget:
    """The declared services and namespaces of one cluster."""

    services: tuple[ServiceTarget, ...] = ()
    namespaces: tuple[NamespaceTarget, ...] = ()
    created_namespaces: frozenset[str] = frozenset()  # namespaces that the stack creates, with those of samples
    # Namespaces in which the stack creates the objects of `linkerd viz allow-scrapes`.
    namespaces_with_metrics_access: tuple[str, ...] = ()
    mirrors: tuple[Mirror, ...] = ()


def find_declared_target(stack: Settings, cluster: ClusterSettings) -> DeclaredTarget:
    """Return the declared services and namespaces of a cluster.

    Args:
        stack: the settings.
        cluster: the cluster.
    """
    samples = {sample.config.namespace for sample in stack.samples if cluster.name in sample.all_clusters}
    declared = [each for each in stack.namespaces if cluster.name in each.clusters]
    created = samples | {each.name for each in declared if each.config.create}
    return DeclaredTarget(
        services=tuple(_list_services(stack, cluster)),
        namespaces=tuple(
            NamespaceTarget(
                name=each.name,
                is_optional=each.config.optional,
                is_created=each.name in created,
                annotations=each.annotations,
            )
            for each in declared
        ),
        created_namespaces=frozenset(created),
        namespaces_with_metrics_access=tuple(stack.list_namespaces_without_metrics(cluster)),
        mirrors=tuple(_list_mirrors(stack, cluster.name)),
    )


def _list_services(stack: Settings, settings: ClusterSettings) -> Iterator[ServiceTarget]:
    cluster = settings.name
    for service in stack.services:
        if cluster not in service.clusters:
            continue
        config = service.config
        is_federated = cluster in config.federated
        is_split = cluster in {each.cluster for each in config.splits} | {each.cluster for each in config.failover}
        has_routes = is_split or config.profile is not None
        mode = service.export_modes.get(cluster)
        yield ServiceTarget(
            namespace=service.namespace,
            name=service.name,
            is_optional=config.optional,
            labels=export_labels(mode, is_federated=is_federated),
            needs_endpoints=bool(mode or is_federated or has_routes),
            ports=tuple(config.ports),
            has_policy=config.allow is not None,
            allows_networks=any(
                each.unauthenticated or (each.networks and each.client is None and not each.identities)
                for each in config.allow or ()
            ),
            accounts=tuple(_list_accounts(config.allow or (), cluster)),
            has_routes=has_routes,
            is_split=is_split,
            # A TrafficSplit includes all protocols.
            needs_http=settings.has_weighted_routes(config) or service.profile is not None,
            has_port_routes=settings.has_port_routes(config, service.profile),
        )


def _list_accounts(allow: Sequence[AllowConfig], cluster: str) -> Iterator[AllowedAccount]:
    for index, entry in enumerate(allow):
        namespace, _, account = (entry.client or "").partition("/")
        # The accounts of other clusters are not visible here.
        if account not in ("", "*") and (entry.clusters is None or cluster in entry.clusters):
            yield AllowedAccount(namespace=namespace, name=account, index=index)


def _list_mirrors(stack: Settings, source: str) -> Iterator[Mirror]:
    links = [link for link in stack.links if link.source == source]
    for service in stack.services:
        for link in links:
            mode = service.export_modes.get(link.target)
            is_federated = link.target in service.config.federated
            for name in list_mirror_names(service.name, link, mode, is_federated=is_federated):
                yield Mirror(namespace=service.namespace, name=name, service=service.key, target=link.target)
