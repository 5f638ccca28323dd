"""Rules on what a link is like: what the release of Linkerd can do, and what the clusters' networks allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mesh.config.errors import ELLIPSIS, ValidationErrors
from mesh.config.models.links import LinkOptions
from mesh.config.parser import ParsedStackFile
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link

Path = tuple[str | int, ...]


def check_links(
    reading: ParsedStackFile, found: Mapping[Link, LinkOptions], release: LinkerdRelease, faults: ValidationErrors
) -> None:
    """Find what can't work.

    Args:
        reading: the stack file.
        found: all links, with what is said of them.
        release: of Linkerd.
        faults: where faults go.
    """
    paths = _paths(reading, found)
    seen: set[Path] = set()
    for link, options in found.items():
        _check_networks(reading, link, options, paths[link], faults)
        _check_namespaces(reading, link, paths[link], faults)
        if paths[link] not in seen:
            seen.add(paths[link])
            _check_release(options, release, paths[link], faults)
            _check_gateway_options(link, options, paths[link], faults)


def _paths(reading: ParsedStackFile, found: Mapping[Link, LinkOptions]) -> dict[Link, Path]:
    """Where each link's options stand: in its own entry, or in the pattern's."""
    listed = zip(reading.original_indices("links"), reading.file.links, strict=True)
    entries = {id(entry): ("links", number) for number, entry in listed}
    return {link: entries.get(id(options), ("topology",)) for link, options in found.items()}


def _check_networks(
    reading: ParsedStackFile, link: Link, options: LinkOptions, path: Path, faults: ValidationErrors
) -> None:
    source, target = (reading.file.clusters.get(name) for name in (link.source, link.target))
    if source is None or target is None or link.gateway:
        return
    here, there = source.networks.flat, target.networks.flat
    if here is not None and there is not None and here != there:
        rule = f"{link.source} is on the flat network {here} and {link.target} on {there}: pods don't reach one another"
        faults.add((*path, "gateway"), options.gateway, rule, "take it out, or mend networks.flat of the clusters")


def _check_namespaces(reading: ParsedStackFile, link: Link, path: Path, faults: ValidationErrors) -> None:
    """A control plane tells of identities only where the other one is in a namespace of the same name."""
    if link.gateway:
        return
    source, target = (_namespace(reading, name) for name in (link.source, link.target))
    if source != target:
        rule = (
            f"the control planes of {link.source} ({source}) and {link.target} ({target}) are in namespaces of "
            "different names, so that requests from pod to pod go without mutual TLS"
        )
        remedy = "give both the same linkerd.namespace, or link them through the gateway"
        faults.warn((*path, "gateway"), False, rule, remedy)


def _namespace(reading: ParsedStackFile, name: str) -> str:
    entry = reading.file.clusters.get(name)
    if entry is not None and "namespace" in entry.linkerd.model_fields_set:
        return entry.linkerd.namespace
    return reading.file.linkerd.namespace


def _check_release(options: LinkOptions, release: LinkerdRelease, path: Path, faults: ValidationErrors) -> None:
    def missing(key: Sequence[str], rule: str, since: str) -> None:
        remedy = f"take it out, or choose {since} or later"
        faults.add((*path, *key), ELLIPSIS, f"Linkerd {release.version} {rule}", remedy)

    mirror = options.service_mirror
    if mirror.replicas is not None and mirror.replicas > 1 and not release.mirror_lease:
        missing(("serviceMirror", "replicas"), "has service mirrors that would get in each other's way", "2.14")
    if options.probe.model_fields_set and not release.probe_threshold:
        missing(("probe",), "has no such fields in its Link", "edge-24.9.3")
    for key, there, field, since in (
        ("excludedLabels", release.excluded_metadata, options.excluded_labels, "2.18"),
        ("excludedAnnotations", release.excluded_metadata, options.excluded_annotations, "2.18"),
    ):
        if field and not there:
            missing((key,), "has no such field in its Link", since)
    chosen = options.selectors.model_fields_set
    if "federated" in chosen and not release.federation:
        missing(("selectors", "federated"), "has no federated services", "2.17")
    if "remote_discovery" in chosen and not release.remote_discovery:
        missing(("selectors", "remoteDiscovery"), "links clusters through gateways only", "2.14")


def _check_gateway_options(link: Link, options: LinkOptions, path: Path, faults: ValidationErrors) -> None:
    if link.gateway:
        return
    rule = f"{link.name} has no gateway"
    if options.probe.model_fields_set:
        faults.add((*path, "probe"), ELLIPSIS, f"{rule} that could be probed", "take it out")
    if "gateway" in options.selectors.model_fields_set:
        faults.add(
            (*path, "selectors", "gateway"), ELLIPSIS, f"{rule} that services could be reached through", "take it out"
        )
