"""Summary of a stack's services, for its outputs and for reviews: exports, mirrors, weights and allowed clients."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh.config import DeclaredService, Sample, Settings
from mesh.config.models.samples import BooksappConfig, EmojivotoConfig, UserlistConfig
from mesh.config.models.services import AllowConfig, ExportConfig, ProfileConfig, ServiceConfig, SplitsConfig
from mesh.mirrors import list_mirror_names
from mesh.service_facts import ServiceKey
from mesh.topology import Link


@dataclass(frozen=True, kw_only=True)
class ServiceSummary:
    """A service on one cluster, and what the mesh does with it."""

    service: str  # namespace and name
    cluster: str
    is_pending: bool = False  # an optional service that does not exist yet
    exports: tuple[str, ...] = ()  # gateway, remote-discovery, federated
    mirrors: Mapping[str, str] = field(default_factory=dict)  # name of the mirror, by source
    weights: Mapping[str, int] = field(default_factory=dict)  # by cluster that answers
    failover: tuple[str, ...] = ()  # clusters that answer instead
    routes: str = ""  # origin of the routes
    clients: tuple[str, ...] | None = None  # allowed clients; None: no policy of its own

    def to_output(self) -> dict[str, Any]:
        """Return the summary without empty parts, for an output of the stack."""
        parts: dict[str, Any] = {
            "pending": self.is_pending,
            "exported": list(self.exports),
            "mirrors": dict(self.mirrors),
            "weights": dict(self.weights),
            "failover": list(self.failover),
            "routes": self.routes,
        }
        output = {key: value for key, value in parts.items() if value}
        return output if self.clients is None else {**output, "clients": list(self.clients)}


def summarize_services(stack: Settings, existing: Collection[ServiceKey] | None = None) -> list[ServiceSummary]:
    """Return a summary of each service on each cluster, sorted by service and cluster.

    Args:
        stack: the settings.
        existing: the declared services that exist; None: all of them.
    """
    summaries = [each for sample in stack.samples for each in _summarize_sample(sample, stack.links)]
    for service in stack.services:
        for cluster in service.clusters:
            is_pending = existing is not None and (cluster, service.namespace, service.name) not in existing
            summaries.append(_summarize_declared(service, cluster, stack.links, is_pending=is_pending))
    return sorted(summaries, key=lambda each: (each.service, each.cluster))


def build_services_output(summaries: Iterable[ServiceSummary]) -> dict[str, dict[str, Any]]:
    """Return the output `services`: by service, then by cluster."""
    output: dict[str, dict[str, Any]] = {}
    for each in summaries:
        output.setdefault(each.service, {})[each.cluster] = each.to_output()
    return output


def _summarize_declared(
    service: DeclaredService, cluster: str, links: Iterable[Link], *, is_pending: bool
) -> ServiceSummary:
    config = service.config
    mode = service.export_modes.get(cluster)
    return _summarize(
        service.key,
        service.name,
        cluster,
        config,
        mode,
        links,
        profile=config.profile,
        clients=None if config.allow is None else tuple(_describe_client(each) for each in config.allow),
        is_pending=is_pending,
    )


def _summarize_sample(sample: Sample, links: Iterable[Link]) -> Iterator[ServiceSummary]:
    config = sample.config
    if isinstance(config, UserlistConfig):
        return
    names = config.exported_services if isinstance(config, BooksappConfig | EmojivotoConfig) else [sample.name]
    for cluster in sample.clusters:
        for name in names:
            profile = getattr(config, "profile", None)
            key = f"{config.namespace}/{name}"
            yield _summarize(key, name, cluster, config, sample.export_modes.get(cluster), links, profile=profile)


def _summarize(
    key: str,
    name: str,
    cluster: str,
    config: ExportConfig,
    mode: str | None,
    links: Iterable[Link],
    *,
    profile: ProfileConfig | None,
    clients: tuple[str, ...] | None = None,
    is_pending: bool = False,
) -> ServiceSummary:
    is_federated = cluster in config.federated
    mirrors = {
        link.source: mirror
        for link in links
        if link.target == cluster
        for mirror in list_mirror_names(name, link, mode, is_federated=is_federated)
    }
    weights: Mapping[str, int] = {}
    failover: tuple[str, ...] = ()
    if isinstance(config, SplitsConfig):
        weights = next((split.weights for split in config.splits if split.cluster == cluster), {})
        failover = next((tuple(each.targets) for each in config.failover if each.cluster == cluster), ())
    exports = [*([mode] if mode is not None else []), *(["federated"] if is_federated else [])]
    return ServiceSummary(
        service=key,
        cluster=cluster,
        is_pending=is_pending,
        exports=tuple(exports),
        mirrors=mirrors,
        weights=weights,
        failover=failover,
        routes=_describe_routes(profile, is_sample=not isinstance(config, ServiceConfig)),
        clients=clients,
    )


def _describe_routes(profile: ProfileConfig | None, *, is_sample: bool) -> str:
    if profile is None:
        return ""
    if document := profile.openapi or profile.protobuf:
        return document
    return "the sample's" if is_sample and not profile.routes else f"{len(profile.routes)}"


def _describe_client(allow: AllowConfig) -> str:
    """Return the clients of an entry of `allow` in words."""
    words = [allow.client] if allow.client is not None else []
    words += allow.identities
    if allow.unauthenticated or allow.unauthenticated_tls:
        words.append("any client with TLS" if allow.unauthenticated_tls else "any client")
    text = " or ".join(words)
    if allow.clusters:
        text = f"{text} in {' and '.join(allow.clusters)}"
    if allow.networks:
        networks = " or ".join(allow.networks)
        text = f"{text} from {networks}" if text else networks
    return text
