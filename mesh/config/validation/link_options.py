"""Rules on the options of links: support by the Linkerd release, and the clusters' networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.models.links import LinkOptions
from mesh.config.parser import ParsedStackFile
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

Path = tuple[str | int, ...]


def check_links(
    parsed: ParsedStackFile,
    links: Mapping[Link, LinkOptions],
    linkerd_release: LinkerdRelease,
    errors: ValidationErrors,
) -> None:
    """Report options of links that cannot work.

    Args:
        parsed: the stack file.
        links: all links, with their options.
        linkerd_release: the Linkerd release of the mesh.
        errors: collects validation errors and warnings.
    """
    paths = _option_paths(parsed, links)
    checked: set[Path] = set()
    for link, options in links.items():
        path = paths[link]
        _check_networks(parsed, link, options, path, errors)
        _check_namespaces(parsed, link, path, errors)
        # The links of a topology share their options.
        if path not in checked:
            checked.add(path)
            _check_release(options, linkerd_release, path, errors)
            _check_gateway_options(link, options, path, errors)


def _option_paths(parsed: ParsedStackFile, links: Mapping[Link, LinkOptions]) -> dict[Link, Path]:
    """Return the path of each link's options: its own entry, or the topology."""
    indexed_links = zip(parsed.original_indices("links"), parsed.file.links, strict=True)
    entries = {id(config): ("links", index) for index, config in indexed_links}
    return {link: entries.get(id(options), ("topology",)) for link, options in links.items()}


def _check_networks(
    parsed: ParsedStackFile, link: Link, options: LinkOptions, path: Path, errors: ValidationErrors
) -> None:
    source, target = (parsed.file.clusters.get(name) for name in (link.source, link.target))
    if source is None or target is None or link.has_gateway:
        return
    source_network, target_network = source.networks.flat, target.networks.flat
    if source_network is not None and target_network is not None and source_network != target_network:
        rule = (
            f"{link.source} is on the flat network {source_network} and {link.target} on {target_network}, "
            "so their pods cannot reach each other"
        )
        errors.add((*path, "gateway"), options.gateway, rule, "remove it, or correct networks.flat of the clusters")


def _check_namespaces(parsed: ParsedStackFile, link: Link, path: Path, errors: ValidationErrors) -> None:
    """Warn about control planes in different namespaces: they exchange no identities, so mutual TLS is off."""
    if link.has_gateway:
        return
    source, target = (parsed.control_plane_namespace(name) for name in (link.source, link.target))
    if source != target:
        rule = (
            f"the control planes of {link.source} ({source}) and {link.target} ({target}) have different namespaces, "
            "so requests from pod to pod have no mutual TLS"
        )
        remedy = "set the same linkerd.namespace for both, or link them through the gateway"
        errors.warn((*path, "gateway"), False, rule, remedy)


def _check_release(options: LinkOptions, linkerd_release: LinkerdRelease, path: Path, errors: ValidationErrors) -> None:
    def report(keys: Sequence[str], rule: str, since: str) -> None:
        remedy = f"remove it, or choose {since} or later"
        errors.add((*path, *keys), ELLIPSIS, f"Linkerd {linkerd_release.version} {rule}", remedy)

    replicas = options.service_mirror.replicas
    if replicas is not None and replicas > 1 and not linkerd_release.has_mirror_lease:
        report(("serviceMirror", "replicas"), "supports one replica of a service mirror", "2.14")
    if options.probe.model_fields_set and not linkerd_release.has_probe_threshold:
        report(("probe",), "has no such fields in its Link", "edge-24.9.3")
    if not linkerd_release.has_excluded_metadata:
        if options.excluded_labels:
            report(("excludedLabels",), "has no such field in its Link", "2.18")
        if options.excluded_annotations:
            report(("excludedAnnotations",), "has no such field in its Link", "2.18")
    configured = options.selectors.model_fields_set
    if "federated" in configured and not linkerd_release.has_federated_services:
        report(("selectors", "federated"), "has no federated services", "2.17")
    if "remote_discovery" in configured and not linkerd_release.has_remote_discovery:
        report(("selectors", "remoteDiscovery"), "supports only links through gateways", "2.14")


def _check_gateway_options(link: Link, options: LinkOptions, path: Path, errors: ValidationErrors) -> None:
    if link.has_gateway:
        return
    if options.probe.model_fields_set:
        errors.add((*path, "probe"), ELLIPSIS, f"{link.name} has no gateway to probe", "remove it")
    if "gateway" in options.selectors.model_fields_set:
        rule = f"{link.name} has no gateway through which services can be reached"
        errors.add((*path, "selectors", "gateway"), ELLIPSIS, rule, "remove it")
