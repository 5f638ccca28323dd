"""Rules on `allow`: the clients of a declared service."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.models.services import AllowConfig
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import DeclaredService
from mesh.config.validation.extensions import check_listed_clusters
from mesh.topology import Link

Path = tuple[str | int, ...]


def check_allow(
    parsed: ParsedStackFile,
    path: Path,
    service: DeclaredService,
    names: Sequence[str],
    links: Sequence[Link],
    errors: ValidationErrors,
) -> None:
    """Report clients that a policy cannot express, and a gateway that a policy would lock out.

    Args:
        parsed: the stack file.
        path: path of the service.
        service: the service.
        names: the names of all clusters, including invalid clusters.
        links: all links.
        errors: collects validation errors and warnings.
    """
    allow = service.config.allow
    if allow is None or errors.is_invalid(*path, "allow"):
        if service.config.policy != "authorization-policy" and allow is None:
            rule = "has no effect without allow"
            errors.add((*path, "policy"), service.config.policy, rule, "set allow, or remove it")
        return
    if not allow:
        rule, remedy = "no client could call the service", 'allow at least one, as in `[{ from: "*" }]`'
        errors.add((*path, "allow"), [], rule, remedy)
        return
    entries = list(zip(parsed.original_indices(*path, "allow"), allow, strict=True))
    for index, entry in entries:
        _check_entry((*path, "allow", index), entry, service, errors)
        _check_clusters(parsed, (*path, "allow", index), entry, service, names, links, errors)
    _check_gateway(path, service, links, errors)
    _check_closed_clusters(path, service, links, errors)


def _check_entry(path: Path, entry: AllowConfig, service: DeclaredService, errors: ValidationErrors) -> None:
    has_identities = entry.client is not None or bool(entry.identities)
    if not (has_identities or entry.networks or entry.unauthenticated or entry.unauthenticated_tls):
        errors.add(path, ELLIPSIS, "selects no clients", "set from, identities, networks or unauthenticated")
    for key, is_set in (("unauthenticated", entry.unauthenticated), ("unauthenticatedTLS", entry.unauthenticated_tls)):
        if is_set and has_identities:
            rule = "clients without an identity match no `from` and no identity"
            errors.add((*path, key), True, rule, "write an entry for each of the two")
    if entry.client is not None and entry.identities:
        rule = "a client has one identity, which would have to match `from` too"
        errors.add((*path, "identities"), ELLIPSIS, rule, "write an entry for each of the two")
    if entry.unauthenticated and entry.unauthenticated_tls:
        rule = "clients without TLS are allowed, so this has no effect"
        errors.add((*path, "unauthenticatedTLS"), True, rule, "remove one of the two")
    elif entry.unauthenticated_tls and service.config.policy == "authorization-policy":
        rule = "an AuthorizationPolicy cannot express clients with TLS but without an identity"
        remedy = "set policy: server-authorization, or unauthenticated: true"
        errors.add((*path, "unauthenticatedTLS"), True, rule, remedy)
    if entry.clusters is not None and entry.client is None:
        errors.add((*path, "clusters"), ELLIPSIS, "has no effect without from", "set from, or remove it")


def _check_clusters(
    parsed: ParsedStackFile,
    path: Path,
    entry: AllowConfig,
    service: DeclaredService,
    names: Sequence[str],
    links: Sequence[Link],
    errors: ValidationErrors,
) -> None:
    if entry.clusters == []:
        errors.add((*path, "clusters"), [], "names no cluster", "add one, or remove it for the service's own cluster")
    sources = check_listed_clusters(entry.clusters or [], (*path, "clusters"), parsed, names, errors)
    for index, source in sources.items():
        source_path = (*path, "clusters", index)
        kinds = {kind for target in service.clusters for kind in service.list_paths(source, target, links)}
        if not kinds and not (errors.is_invalid("links") or errors.is_invalid("topology")):
            rule = f"its clients cannot reach the service: no linked cluster exports {service.key} to {source}"
            errors.add(source_path, source, rule, "export it, add the link, or remove the cluster")
        if "gateway" not in kinds:
            continue
        if entry.networks:
            rule = "through a gateway, requests have the address of the gateway's pods, not the client's"
            errors.add((*path, "networks"), ELLIPSIS, rule, "remove it, or the cluster")
        elif entry.client != "*":
            rule = (
                "through a gateway, requests have the gateway's identity, so the policy allows every client that can "
                "use the gateway"
            )
            remedy = "use a link without a gateway for the client's own identity, or accept it"
            errors.warn(source_path, source, rule, remedy)


def _check_closed_clusters(
    path: Path, service: DeclaredService, links: Sequence[Link], errors: ValidationErrors
) -> None:
    """Warn of clusters where the policy refuses all clients."""

    def can_reach(entry: AllowConfig, target: str) -> bool:
        sources = [target] if entry.clusters is None else entry.clusters
        return entry.client is None or any(any(service.list_paths(source, target, links)) for source in sources)

    entries = service.config.allow or []
    closed = [target for target in service.clusters if not any(can_reach(entry, target) for entry in entries)]
    if closed and len(closed) < len(service.clusters):
        rule = f"allows no client that can reach the service in {', '.join(closed)}, so all requests there are refused"
        remedy = "add an entry for them, or declare only the other clusters in `clusters`"
        errors.warn((*path, "allow"), ELLIPSIS, rule, remedy)


def _check_gateway(path: Path, service: DeclaredService, links: Sequence[Link], errors: ValidationErrors) -> None:
    """Warn of sources whose requests the policy refuses, although the service is exported to them."""
    entries = service.config.allow or []
    if any(entry.client == "*" or "*" in entry.identities or entry.unauthenticated for entry in entries):
        return
    allowed_sources = {source for entry in entries for source in entry.clusters or ()}
    # Identities and networks may include the gateway's.
    has_unknown = any(entry.identities or (entry.networks and entry.client is None) for entry in entries)
    sources = {
        link.source
        for link in links
        for target in service.clusters
        if link.target == target and any(service.list_paths(link.source, target, links))
    }
    missing = sorted(sources - allowed_sources)
    if missing and not allowed_sources and not has_unknown:
        rule = f"exported to {', '.join(missing)}, but allows no client there, so their requests are refused"
        errors.warn((*path, "allow"), ELLIPSIS, rule, f"add `{{ from: …, clusters: [{', '.join(missing)}] }}`")
