"""The links of a stack file, listed or by a pattern, and the rules on the clusters that others must reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mesh import topology
from mesh.config.errors import ValidationErrors, join_names, suggestion
from mesh.config.field_types import TARGET_NAME_LENGTH, is_api_server
from mesh.config.models.links import LinkOptions
from mesh.config.models.stack_file import TopologyException
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import ClusterSettings
from mesh.config.validation.clusters import is_loopback
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

Path = tuple[str | int, ...]


def resolve_links(reading: ParsedStackFile, names: list[str], faults: ValidationErrors) -> dict[Link, LinkOptions]:
    """All links with what is said of them: those of the pattern first, then those that are listed.

    Args:
        reading: the stack file.
        names: all names of clusters in it.
        faults: where faults go.
    """
    found: dict[Link, Path] = dict.fromkeys(_topology_links(reading, names, faults), ("topology",))
    said: dict[Link, LinkOptions] = {link: reading.file.topology or LinkOptions() for link in found}
    for number, entry in zip(reading.original_indices("links"), reading.file.links, strict=True):
        path: Path = ("links", number)
        known = [check_known_cluster(getattr(entry, end), (*path, end), names, faults) for end in ("source", "target")]
        if not all(known):
            continue
        link = Link(source=entry.source, target=entry.target)
        if link.source == link.target:
            faults.add(path, link.name, "a cluster can't be linked to itself", "name two clusters")
        elif link in found:
            there = "topology" if found[link] == ("topology",) else f"links[{found[link][1]}]"
            remedy = "take it out here" if there == "topology" else "remove one of them"
            faults.add(path, link.name, f"the same as {there}" if "[" in there else "topology has it already", remedy)
        else:
            found[link] = path
            said[link] = entry
    _check_names(found, faults)
    return {_resolved(reading, link, options): options for link, options in said.items()}


def _resolved(reading: ParsedStackFile, link: Link, options: LinkOptions) -> Link:
    gateway = _by_gateway(reading, link, options)
    return replace(link, gateway=gateway, discovers=not gateway or not _on_other_networks(reading, link))


def _by_gateway(reading: ParsedStackFile, link: Link, options: LinkOptions) -> bool:
    """Whether a link leads through the target's gateway."""
    if options.gateway is not None:
        return options.gateway
    return not on_one_network(reading, link)


def on_one_network(reading: ParsedStackFile, link: Link) -> bool:
    """Whether both clusters say that their pods are on the same flat network."""
    source, target = _networks(reading, link)
    return source is not None and source == target


def _on_other_networks(reading: ParsedStackFile, link: Link) -> bool:
    """Whether the clusters say that their pods aren't on the same flat network: then at least one names its own."""
    source, target = _networks(reading, link)
    return source != target


def _networks(reading: ParsedStackFile, link: Link) -> list[str | None]:
    found = (reading.file.clusters.get(name) for name in (link.source, link.target))
    return [cluster.networks.flat if cluster is not None else None for cluster in found]


def check_known_cluster(name: str, path: Path, names: Sequence[str], faults: ValidationErrors) -> bool:
    """Whether the stack file has a cluster of that name; a fault if not, or if it has none at all."""
    if names and name not in names:
        faults.add(path, name, "no such cluster in `clusters`", suggestion(name, names))
    return name in names


def _topology_links(reading: ParsedStackFile, names: list[str], faults: ValidationErrors) -> list[Link]:
    pattern = reading.file.topology
    if pattern is None or not names or faults.is_invalid("topology", "shape"):
        return []
    if pattern.shape == "full-mesh":
        if pattern.hub is not None:
            faults.add(("topology", "hub"), pattern.hub, "a full mesh has no hub", "take the hub out, or the shape")
        elif "direction" in pattern.model_fields_set:
            rule = "a full mesh has every direction"
            faults.add(("topology", "direction"), pattern.direction, rule, "take the direction out, or the shape")
        found = topology.full_mesh(names)
    elif pattern.hub is None:
        if not faults.is_invalid("topology", "hub"):
            remedy = f"name the cluster in the middle ({join_names(names)}), or write `topology: full-mesh`"
            faults.add(("topology", "hub"), None, "missing", remedy)
        return []
    elif not check_known_cluster(pattern.hub, ("topology", "hub"), names, faults):
        return []
    else:
        found = topology.hub(names, pattern.hub, pattern.direction)
    for number, exception in zip(reading.original_indices("topology", "except"), pattern.exceptions, strict=True):
        path: Path = ("topology", "except", number)
        if faults.is_invalid(*path):
            continue
        if exception.source is None and exception.target is None:
            faults.add(path, {}, "every link would be left out", "name a source, a target or both")
            continue
        ends = [(end, getattr(exception, end)) for end in ("source", "target")]
        known = [check_known_cluster(name, (*path, end), names, faults) for end, name in ends if name is not None]
        if not all(known):
            continue
        left = [link for link in found if not _is_excepted(link, exception)]
        if len(left) == len(found):
            shown = f"{exception.source or 'any'} to {exception.target or 'any'}"
            faults.add(path, shown, "no link of the pattern is taken out by this", "mend it, or take it out")
        found = left
    return found


def _is_excepted(link: Link, exception: TopologyException) -> bool:
    return exception.source in (None, link.source) and exception.target in (None, link.target)


def _check_names(found: dict[Link, Path], faults: ValidationErrors) -> None:
    taken: dict[str, Link] = {}
    for link, path in found.items():
        if len(link.target) > TARGET_NAME_LENGTH:
            rule = f"a target's name is part of other names and has at most {TARGET_NAME_LENGTH} characters"
            end = path if path == ("topology",) else (*path, "target")
            faults.add(end, link.target, rule, "give the cluster a shorter name (its `context` may stay)")
        if link.name in taken:
            other = taken[link.name]
            rule = (
                f"the link of {link.source} to {link.target} has the name of that of {other.source} to {other.target}"
            )
            faults.add(path, link.name, rule, "rename one of the clusters")
        taken.setdefault(link.name, link)


def check_targets(
    clusters: Iterable[ClusterSettings], found: Sequence[Link], release: LinkerdRelease, faults: ValidationErrors
) -> None:
    """Rules on the clusters that others must reach."""
    for cluster in clusters:
        path = ("clusters", cluster.name, "apiServer")
        of_target = [link for link in found if link.target == cluster.name]
        sources = ", ".join(sorted(link.source for link in of_target))
        through = ", ".join(sorted(link.source for link in of_target if link.gateway))
        if through and not cluster.gateway_is_reachable and not faults.is_invalid(*path[:2], "gateway"):
            _check_gateway(cluster, through, faults)
        unclear = faults.is_invalid(*path) or faults.is_invalid(*path[:2], "reachable")
        if of_target and cluster.reachable and not unclear:
            remedy = f"set clusters.{cluster.name}.apiServer to the URL at which peers reach this cluster's API server"
            if not is_api_server(cluster.api_server):
                rule = f"the kubeconfig's URL is none that {sources} could use"
                faults.add(path, cluster.api_server, rule, remedy)
            elif is_loopback(cluster.api_server) and not cluster.context.loopback_peers:
                rule = f"a loopback address: {sources} would reach nobody but {_self(of_target)} there"
                faults.add(path, cluster.api_server, rule, remedy)
    if not release.remote_discovery:
        flat = next((link for link in found if not link.gateway), None)
        if flat is not None:
            rule = f"Linkerd {release.version} links clusters through gateways only, and {flat.name} has none"
            remedy = "choose 2.14 or later, or take the link's `gateway: false` out"
            faults.add(("linkerd", "version"), release.version, rule, remedy)


def _self(links: Sequence[Link]) -> str:
    return "itself" if len(links) == 1 else "themselves"


def _check_gateway(cluster: ClusterSettings, sources: str, faults: ValidationErrors) -> None:
    path = ("clusters", cluster.name, "gateway")
    if not cluster.gateway.enabled:
        rule = f"{sources} can't reach a target without a gateway"
        faults.add((*path, "enabled"), False, rule, "enable it, or turn the link round")
    elif cluster.gateway.node_port:
        rule = f"node ports alone don't say where {sources} can reach the gateway"
        faults.add((*path, "addresses"), [], rule, "give the addresses of nodes, or a name that leads to them")
    else:
        rule = f"{sources} can't reach the gateway of a target without a load balancer"
        remedy = "give it one, node ports or gateway.addresses, or turn the link round"
        faults.add((*path, "loadBalancer"), False, rule, remedy)
