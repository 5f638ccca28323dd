"""Whether two clusters whose pods reach one another, by a link without a gateway or by Cilium, have own networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError
from mesh.kube.json_access import mapping, mappings, text, texts
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget, FlatNetworkLink

# The first fifty: enough to see a provider by, and pod networks that overlap overlap in the first ones.
NODES = "/api/v1/nodes?limit=50"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True)
class ClusterNetworks:
    """What is known of a cluster's networks."""

    pods: tuple[Network, ...]
    services: tuple[Network, ...]
    unknown: str | None = None  # why there may be more pod networks than these

    def named(self) -> Iterator[tuple[str, Network]]:
        """Each network, and what is in it."""
        yield from (("pod", network) for network in self.pods)
        yield from (("service", network) for network in self.services)


def declared(question: CheckTarget) -> ClusterNetworks:
    """What the stack file says of a cluster."""
    return ClusterNetworks(
        pods=_parsed(question.pod_networks),
        services=_parsed(question.service_networks),
        unknown=None if question.pod_networks else "none is declared",
    )


def read(question: CheckTarget, api: KubeClient) -> ClusterNetworks:
    """What the stack file or else the nodes say of a cluster."""
    known = declared(question)
    if known.unknown is None:
        return known
    try:
        listed = api.get(NODES, "its nodes' pod networks") or {}
    except NotReadableError:
        return ClusterNetworks(pods=(), services=known.services, unknown="its nodes can't be looked at")
    specs = [mapping(node, "spec") for node in mappings(listed.get("items"))]
    pods = _parsed(cidr for spec in specs for cidr in [*texts(spec.get("podCIDRs")), text(spec.get("podCIDR"))])
    unknown = None
    if not pods:
        unknown = "its nodes don't tell theirs"
    elif mapping(listed, "metadata").get("continue"):
        unknown = f"it has more than the {len(specs)} nodes that were looked at"
    return ClusterNetworks(pods=pods, services=known.services, unknown=unknown)


def check(
    flat: Iterable[FlatNetworkLink], questions: Mapping[str, CheckTarget], known: Mapping[str, ClusterNetworks]
) -> Iterator[Finding]:
    """Findings on all links without a gateway and all pairs of a ClusterMesh, as far as their clusters are known."""
    doubtful: dict[str, tuple[str, bool]] = {}
    for link in flat:
        if link.source not in known or link.target not in known:
            continue
        source, target = known[link.source], known[link.target]
        overlaps = [
            (ours, kind, theirs, their_kind)
            for kind, ours in source.named()
            for their_kind, theirs in target.named()
            if ours.version == theirs.version
            and ours.overlaps(theirs)
            # A service of a ClusterMesh has an address of each cluster's own.
            and not (link.mesh and kind == their_kind == "service")
        ]
        if overlaps:
            ours, kind, theirs, their_kind = overlaps[0]
            more = f" (and {len(overlaps) - 1} more)" if len(overlaps) > 1 else ""
            why, otherwise = "the link to it has no gateway", ", or link them through a gateway"
            if link.mesh:
                why, otherwise = "pods of a ClusterMesh reach one another by their own addresses", ""
            yield questions[link.source].finding(
                f"a {kind} network that overlaps {link.target}'s {their_kind} network {theirs}{more}, and {why}",
                f"give one of them other networks{otherwise}; if these aren't their networks, "
                f"declare clusters.{link.source}.networks and clusters.{link.target}.networks",
                value=str(ours),
            )
            continue
        for name in (link.source, link.target):
            if (unknown := known[name].unknown) is not None:
                doubtful.setdefault(name, (unknown, link.mesh))
    for name, (unknown, mesh) in doubtful.items():
        whose = "the other clusters of the ClusterMesh" if mesh else "clusters linked to it without a gateway"
        yield questions[name].finding(
            f"whether its networks overlap those of {whose} isn't known: {unknown}",
            f"list its pods' CIDRs in clusters.{name}.networks.pods",
            value="none",
            setting="networks.pods",
            severity=Severity.WARNING,
        )


def _parsed(cidrs: Iterable[str]) -> tuple[Network, ...]:
    found: dict[Network, None] = {}  # in order, each once
    for cidr in cidrs:
        try:
            found[ipaddress.ip_network(cidr, strict=False)] = None
        except ValueError:
            continue  # a declared one has been checked with the stack file
    return tuple(found)
