"""Clients that a declared service allows, as identities and networks that its proxies can check.

A server's proxy checks the identity and the address of the proxy that connects to it. For a client in another cluster,
this is the client's own proxy on a flat network, and the gateway of the server's cluster otherwise.

Follows https://linkerd.io/2/reference/authorization-policy/ and https://linkerd.io/2/tasks/multicluster/.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mesh.config import ClusterSettings, DeclaredService, Settings
from mesh.config.models.services import AllowConfig
from mesh.kube.constants import MULTICLUSTER_NAMESPACE
from mesh.topology import Link

ANY_NETWORK = ("0.0.0.0/0", "::/0")
# Service account of the gateway, in every release of the chart linkerd-multicluster.
_GATEWAY_ACCOUNT = f"linkerd-gateway.{MULTICLUSTER_NAMESPACE}"


@dataclass(frozen=True, kw_only=True)
class Permission:
    """Clients that may call a service: any of the identities, from any of the networks."""

    identities: tuple[str, ...] = ()  # empty: no identity is necessary
    networks: tuple[str, ...] = ()  # empty: any network
    needs_tls: bool = False  # without identities: whether clients need TLS

    @property
    def name(self) -> str:
        """Return a part of the names of the permission's objects; other permissions of the service have another."""
        if self.identities and not self.networks:
            return "identities"
        if not self.identities and not self.needs_tls:
            return "networks"
        content = json.dumps([self.identities, self.networks, self.needs_tls])
        # A changed permission is another object, which exists before the former one is deleted.
        return f"clients-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def resolve_permissions(service: DeclaredService, cluster: ClusterSettings, stack: Settings) -> list[Permission]:
    """Return the clients that a service allows on one of its clusters.

    Entries with only identities are one permission, and so are those with only networks.

    Args:
        service: the service.
        cluster: the cluster.
        stack: the settings.
    """
    clusters = {each.name: each for each in stack.clusters}
    permissions = [
        _resolve_entry(entry, service, cluster, clusters, stack.links) for entry in service.config.allow or ()
    ]
    return list(_merge(each for each in permissions if each is not None))


def _resolve_entry(
    entry: AllowConfig,
    service: DeclaredService,
    cluster: ClusterSettings,
    clusters: Mapping[str, ClusterSettings],
    links: Iterable[Link],
) -> Permission | None:
    """Return the permission of one entry; None if no client of it can reach the service on this cluster."""
    identities = list(entry.identities)
    if entry.client is not None:
        sources = [cluster.name] if entry.clusters is None else entry.clusters
        for source in sources:
            identities += _list_identities(entry.client, service, clusters[source], cluster, links)
        if not identities:
            return None
    return Permission(
        identities=tuple(dict.fromkeys(identities)),
        networks=tuple(entry.networks),
        needs_tls=entry.unauthenticated_tls,
    )


def _list_identities(
    client: str, service: DeclaredService, source: ClusterSettings, cluster: ClusterSettings, links: Iterable[Link]
) -> Iterator[str]:
    paths = set(service.list_paths(source.name, cluster.name, links))
    if paths & {"local", "direct"}:
        namespace, _, account = client.partition("/")
        yield "*" if client == "*" else format_identity(f"{account}.{namespace}", source)
    if "gateway" in paths:
        yield format_identity(_GATEWAY_ACCOUNT, cluster)


def format_identity(account: str, cluster: ClusterSettings) -> str:
    """Return the identity of a service account.

    Args:
        account: account and namespace, with a dot between them; `*` for all accounts.
        cluster: cluster of the account.
    """
    linkerd = cluster.linkerd
    return f"{account}.serviceaccount.identity.{linkerd.namespace}.{linkerd.trust_domain}"


def _merge(permissions: Iterable[Permission]) -> Iterator[Permission]:
    """Yield permissions, with one for all that have only identities, and one for all that have only networks."""
    all_permissions = list(permissions)
    only_identities = [each for each in all_permissions if each.identities and not each.networks]
    open_to_networks = [each for each in all_permissions if not each.identities and not each.needs_tls]
    if only_identities:
        identities = [identity for each in only_identities for identity in each.identities]
        yield Permission(identities=tuple(dict.fromkeys(identities)))
    if open_to_networks:
        networks = [network for each in open_to_networks for network in each.networks or ANY_NETWORK]
        yield Permission(networks=tuple(dict.fromkeys(networks)))
    merged = [*only_identities, *open_to_networks]
    yield from dict.fromkeys(each for each in all_permissions if each not in merged)
