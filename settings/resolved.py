"""What a stack file comes to: the settings that the program works from, complete and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import kubeconfig
from settings.stack_file import Chart, ClusterLinkerd, Gateway, Networks, Podinfo, Preflight, Trust, Values
from topology import Link
from versions import LinkerdRelease


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster of the mesh."""

    name: str
    context: kubeconfig.Context
    kubeconfig: str = field(default="", repr=False)  # a path, or the content of a file; empty: as kubectl finds it
    kubeconfig_is_secret: bool = False
    reachable: bool = True
    forgotten: bool = False  # it won't come back
    api_server: str  # the URL at which the clusters that link to this one reach its API server
    gateway: Gateway = field(default_factory=Gateway)
    networks: Networks = field(default_factory=Networks)
    adopt: bool = False
    linkerd: ClusterLinkerd = field(default_factory=ClusterLinkerd)
    release: LinkerdRelease

    @property
    def awaits_gateway(self) -> bool:
        """Whether the gateway's Service gets an address that is worth waiting for."""
        gateway = self.gateway
        return gateway.enabled and gateway.load_balancer.enabled and not gateway.node_port and not gateway.addresses

    @property
    def gateway_becomes_ready(self) -> bool:
        """Whether all that belongs to the gateway does, its Service included."""
        return self.awaits_gateway or not self.gateway.enabled or self.gateway.node_port is not None

    @property
    def has_reachable_gateway(self) -> bool:
        """Whether other clusters can reach the gateway."""
        return self.gateway.enabled and bool(self.awaits_gateway or self.gateway.addresses)

    @property
    def identity(self) -> str:
        """The common name of its issuer."""
        return f"identity.{self.linkerd.namespace}.{self.linkerd.trust_domain}"

    def values(self, chart: Chart) -> Values:
        """What the stack file says of a chart's values."""
        return self.linkerd.values.get(chart, {})


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The podinfo sample, with its clusters."""

    podinfo: Podinfo
    clusters: tuple[str, ...]

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.podinfo.namespace

    @property
    def exported(self) -> tuple[str, ...]:
        """The clusters whose podinfo is exported."""
        return tuple(self.podinfo.exported)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole stack file."""

    clusters: tuple[Cluster, ...]
    links: tuple[Link, ...]
    charts: str  # a chart repository's URL, an oci:// reference, or a folder of chart archives
    trust: Trust
    image_pull_secret: str | None = field(default=None, repr=False)  # the content of a .dockerconfigjson
    preflight: Preflight = field(default_factory=Preflight)
    podinfo: tuple[Sample, ...] = ()

    trust_domain: str = "cluster.local"  # the mesh's; a cluster may have another

    @property
    def away(self) -> tuple[str, ...]:
        """The clusters that can't be reached, and are said so."""
        return tuple(cluster.name for cluster in self.clusters if not cluster.reachable)


def overridden(values: Mapping[str, object], prefix: str = "") -> list[str]:
    """The keys of all values of a mapping, however deep: `proxy.resources.cpu.request`."""
    found: list[str] = []
    for key, value in values.items():
        path = f"{prefix}{key}"
        found += overridden(value, f"{path}.") if isinstance(value, dict) and value else [path]
    return found


def merged(under: Values, over: Values) -> Values:
    """Two values of a chart as one, key by key; what isn't a mapping on both sides is replaced whole, as Helm does."""
    found = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if both else value
    return found
