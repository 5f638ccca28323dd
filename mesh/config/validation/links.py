"""Resolution of the links, listed or from a topology, and rules on the clusters that sources must reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mesh import topology
from mesh.config.errors import ValidationErrors, join_names
from mesh.config.field_types import MAX_TARGET_NAME_LENGTH
from mesh.config.models.links import LinkOptions
from mesh.config.models.stack_file import TopologyException
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import ClusterSettings
from mesh.config.validation.clusters import check_known_cluster, is_loopback_url
from mesh.config.value_checks import is_api_server
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

Path = tuple[str | int, ...]


def resolve_links(parsed: ParsedStackFile, names: Sequence[str], errors: ValidationErrors) -> dict[Link, LinkOptions]:
    """Return all links with their options: first those of the topology, then the listed ones.

    Args:
        parsed: the stack file.
        names: the names of all its clusters, including invalid clusters.
        errors: collects validation errors.
    """
    paths: dict[Link, Path] = dict.fromkeys(_topology_links(parsed, names, errors), ("topology",))
    link_options: dict[Link, LinkOptions] = {link: parsed.file.topology or LinkOptions() for link in paths}
    for index, config in zip(parsed.original_indices("links"), parsed.file.links, strict=True):
        path: Path = ("links", index)
        ends = [(end, getattr(config, end)) for end in ("source", "target")]
        known = [check_known_cluster(name, (*path, end), names, errors) for end, name in ends]
        if not all(known):
            continue
        link = Link(source=config.source, target=config.target)
        if link.source == link.target:
            errors.add(path, link.name, "a cluster cannot be linked to itself", "set two different clusters")
        elif link in paths:
            other = "topology" if paths[link] == ("topology",) else f"links[{paths[link][1]}]"
            remedy = "remove it here" if other == "topology" else "remove one of the two"
            errors.add(path, link.name, f"duplicate of a link in {other}", remedy)
        else:
            paths[link] = path
            link_options[link] = config
    _check_names(paths, errors)
    return {_resolve_link(parsed, link, options): options for link, options in link_options.items()}


def _resolve_link(parsed: ParsedStackFile, link: Link, options: LinkOptions) -> Link:
    gateway = options.gateway if options.gateway is not None else not has_shared_flat_network(parsed, link)
    source_network, target_network = _flat_networks(parsed, link)
    # If neither cluster names a flat network, nothing is known about direct access.
    return replace(link, has_gateway=gateway, has_remote_discovery=not gateway or source_network == target_network)


def has_shared_flat_network(parsed: ParsedStackFile, link: Link) -> bool:
    """Return whether both clusters of a link name the same flat network."""
    source_network, target_network = _flat_networks(parsed, link)
    return source_network is not None and source_network == target_network


def _flat_networks(parsed: ParsedStackFile, link: Link) -> list[str | None]:
    configs = (parsed.file.clusters.get(name) for name in (link.source, link.target))
    return [config.networks.flat if config is not None else None for config in configs]


def _topology_links(parsed: ParsedStackFile, names: Sequence[str], errors: ValidationErrors) -> list[Link]:
    pattern = parsed.file.topology
    if pattern is None or not names or errors.is_invalid("topology", "shape"):
        return []
    if pattern.shape == "full-mesh":
        if pattern.hub is not None:
            errors.add(("topology", "hub"), pattern.hub, "a full mesh has no hub", "remove hub or shape")
        elif "direction" in pattern.model_fields_set:
            rule = "a full mesh has links in both directions"
            errors.add(("topology", "direction"), pattern.direction, rule, "remove direction or shape")
        links = topology.full_mesh_links(names)
    elif pattern.hub is None:
        if not errors.is_invalid("topology", "hub"):
            remedy = f"set it to the cluster in the middle ({join_names(names)}), or write `topology: full-mesh`"
            errors.add(("topology", "hub"), None, "required key is missing", remedy)
        return []
    elif not check_known_cluster(pattern.hub, ("topology", "hub"), names, errors):
        return []
    else:
        links = topology.hub_links(names, pattern.hub, pattern.direction)
    for index, exception in zip(parsed.original_indices("topology", "except"), pattern.exceptions, strict=True):
        links = _remove_exception(links, exception, ("topology", "except", index), names, errors)
    return links


def _remove_exception(
    links: list[Link], exception: TopologyException, path: Path, names: Sequence[str], errors: ValidationErrors
) -> list[Link]:
    """Return the links without those of an exception, and report an exception that matches none."""
    if errors.is_invalid(*path):
        return links
    if exception.source is None and exception.target is None:
        errors.add(path, {}, "matches every link", "set source, target or both")
        return links
    ends = [(end, getattr(exception, end)) for end in ("source", "target")]
    known = [check_known_cluster(name, (*path, end), names, errors) for end, name in ends if name is not None]
    if not all(known):
        return links
    remaining = [link for link in links if not _is_excepted(link, exception)]
    if len(remaining) == len(links):
        value = f"{exception.source or 'any'} to {exception.target or 'any'}"
        errors.add(path, value, "matches no link of the topology", "correct or remove it")
    return remaining


def _is_excepted(link: Link, exception: TopologyException) -> bool:
    return exception.source in (None, link.source) and exception.target in (None, link.target)


def _check_names(paths: dict[Link, Path], errors: ValidationErrors) -> None:
    links_by_name: dict[str, Link] = {}
    for link, path in paths.items():
        if len(link.target) > MAX_TARGET_NAME_LENGTH:
            rule = f"a target's name is part of resource names and has at most {MAX_TARGET_NAME_LENGTH} characters"
            name_path = path if path == ("topology",) else (*path, "target")
            errors.add(name_path, link.target, rule, "rename the cluster, and set `context` to the old name")
        if link.name in links_by_name:
            other = links_by_name[link.name]
            rule = (
                f"the links from {link.source} to {link.target} and from {other.source} to {other.target} "
                "have the same name"
            )
            errors.add(path, link.name, rule, "rename one of the clusters")
        links_by_name.setdefault(link.name, link)


def check_targets(
    clusters: Iterable[ClusterSettings],
    links: Sequence[Link],
    linkerd_release: LinkerdRelease,
    errors: ValidationErrors,
) -> None:
    """Report targets whose gateway or API server the sources cannot reach.

    Args:
        clusters: the resolved clusters.
        links: all links.
        linkerd_release: the Linkerd release of the mesh.
        errors: collects validation errors.
    """
    for cluster in clusters:
        incoming = [link for link in links if link.target == cluster.name]
        _check_gateway(cluster, [link.source for link in incoming if link.has_gateway], errors)
        _check_api_server(cluster, [link.source for link in incoming], errors)
    if not linkerd_release.has_remote_discovery:
        flat_link = next((link for link in links if not link.has_gateway), None)
        if flat_link is not None:
            rule = f"Linkerd {linkerd_release.version} supports only links through gateways, unlike {flat_link.name}"
            remedy = "choose 2.14 or later, or remove `gateway: false` of the link"
            errors.add(("linkerd", "version"), linkerd_release.version, rule, remedy)


def _check_gateway(cluster: ClusterSettings, sources: Sequence[str], errors: ValidationErrors) -> None:
    path, exposure = ("clusters", cluster.name, "gateway"), cluster.gateway_exposure
    if not sources or exposure.is_reachable or errors.is_invalid(*path):
        return
    rule = f"{_join_sources(sources)} cannot reach the gateway"
    if exposure.service_type is None:
        errors.add((*path, "enabled"), False, f"{rule} of a target that has none", "enable it, or reverse the link")
    elif exposure.service_type == "NodePort":
        remedy = "add addresses of nodes, or a host name that resolves to them"
        errors.add((*path, "addresses"), [], f"{rule} at node ports of unknown addresses", remedy)
    elif exposure.service_type == "LoadBalancer":
        remedy = "add gateway.addresses, remove `await: false`, or reverse the link"
        errors.add((*path, "loadBalancer", "await"), False, f"{rule} at an address that is not awaited", remedy)
    else:
        remedy = "enable it, set nodePort or addresses, or reverse the link"
        errors.add((*path, "loadBalancer"), False, f"{rule} of a target without a load balancer", remedy)


def _check_api_server(cluster: ClusterSettings, sources: Sequence[str], errors: ValidationErrors) -> None:
    path = ("clusters", cluster.name, "apiServer")
    if not sources or not cluster.reachable:
        return
    if errors.is_invalid(*path) or errors.is_invalid(*path[:2], "reachable"):
        return
    remedy = f"set clusters.{cluster.name}.apiServer to the URL at which sources reach this cluster's API server"
    if not is_api_server(cluster.api_server):
        rule = f"{_join_sources(sources)} cannot use the kubeconfig's URL"
        errors.add(path, cluster.api_server, rule, remedy)
    elif is_loopback_url(cluster.api_server) and not cluster.context.has_loopback_peers:
        rule = f"{_join_sources(sources)} cannot reach a loopback address of another cluster"
        errors.add(path, cluster.api_server, rule, remedy)


def _join_sources(sources: Sequence[str]) -> str:
    return ", ".join(sorted(sources))
