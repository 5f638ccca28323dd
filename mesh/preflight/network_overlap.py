"""Check for overlapping networks of two clusters whose pods connect directly.

Pods connect directly over a link without a gateway and in a ClusterMesh.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError
from mesh.kube.json_access import as_mapping, as_mappings, as_text, as_texts
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget, FlatNetworkLink

# Fifty nodes are enough to detect a provider, and overlapping pod networks overlap in their first nodes.
NODES_PATH = "/api/v1/nodes?limit=50"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True)
class ClusterNetworks:
    """The known networks of a cluster."""

    pods: tuple[Network, ...]
    services: tuple[Network, ...]
    unknown: str | None = None  # why there can be more pod networks than these

    def networks_with_kinds(self) -> Iterator[tuple[str, Network]]:
        """Yield each network with its kind."""
        yield from (("pod", network) for network in self.pods)
        yield from (("service", network) for network in self.services)


def declared_networks(target: CheckTarget) -> ClusterNetworks:
    """Return the networks that the stack file declares for a cluster."""
    return ClusterNetworks(
        pods=_parse_networks(target.pod_networks),
        services=_parse_networks(target.service_networks),
        unknown=None if target.pod_networks else "none is declared",
    )


def read_networks(target: CheckTarget, client: KubeClient) -> ClusterNetworks:
    """Return the networks in the stack file, or else those of the nodes."""
    declared = declared_networks(target)
    if declared.unknown is None:
        return declared
    try:
        node_list = client.get(NODES_PATH, "its nodes' pod networks") or {}
    except NotReadableError:
        return ClusterNetworks(pods=(), services=declared.services, unknown="its nodes cannot be read")
    specs = [as_mapping(node, "spec") for node in as_mappings(node_list.get("items"))]
    pods = _parse_networks(
        cidr for spec in specs for cidr in [*as_texts(spec.get("podCIDRs")), as_text(spec.get("podCIDR"))]
    )
    unknown = None
    if not pods:
        unknown = "its nodes have no pod CIDR"
    elif as_mapping(node_list, "metadata").get("continue"):
        unknown = f"it has more than the {len(specs)} nodes that were read"
    return ClusterNetworks(pods=pods, services=declared.services, unknown=unknown)


def check(
    links: Iterable[FlatNetworkLink], targets: Mapping[str, CheckTarget], networks: Mapping[str, ClusterNetworks]
) -> Iterator[Finding]:
    """Yield findings about links without a gateway and pairs of a ClusterMesh, if both clusters are known."""
    incomplete: dict[str, tuple[str, bool]] = {}
    for link in links:
        if link.source not in networks or link.target not in networks:
            continue
        overlaps = [
            (own, kind, other, other_kind)
            for kind, own in networks[link.source].networks_with_kinds()
            for other_kind, other in networks[link.target].networks_with_kinds()
            if own.version == other.version
            and own.overlaps(other)
            # In a ClusterMesh each cluster gives a service its own address.
            and not (link.is_clustermesh and kind == other_kind == "service")
        ]
        if overlaps:
            own, kind, other, other_kind = overlaps[0]
            more = f" (and {len(overlaps) - 1} more)" if len(overlaps) > 1 else ""
            reason, alternative = "the link to it has no gateway", ", or link them through a gateway"
            if link.is_clustermesh:
                reason, alternative = "pods of a ClusterMesh connect directly to each other", ""
            yield targets[link.source].finding(
                f"a {kind} network that overlaps {link.target}'s {other_kind} network {other}{more}, and {reason}",
                f"give one of them other networks{alternative}; if these are not their networks, "
                f"declare clusters.{link.source}.networks and clusters.{link.target}.networks",
                value=str(own),
            )
            continue
        for name in (link.source, link.target):
            if (unknown := networks[name].unknown) is not None:
                incomplete.setdefault(name, (unknown, link.is_clustermesh))
    for name, (unknown, is_clustermesh) in incomplete.items():
        others = (
            "the other clusters of the ClusterMesh" if is_clustermesh else "clusters linked to it without a gateway"
        )
        yield targets[name].finding(
            f"an overlap of its networks with those of {others} is not excluded: {unknown}",
            f"list its pods' CIDRs in clusters.{name}.networks.pods",
            value="none",
            setting="networks.pods",
            severity=Severity.WARNING,
        )


def _parse_networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    """Return the distinct valid networks in order; the stack file's own have been validated before."""
    networks: dict[Network, None] = {}
    for cidr in cidrs:
        try:
            networks[ipaddress.ip_network(cidr, strict=False)] = None
        except ValueError:
            continue
    return tuple(networks)
