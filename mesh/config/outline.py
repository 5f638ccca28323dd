"""Outline of a stack file: the settings that depend on no kubeconfig and no chart source.

The program and the lab (`hack/make/stack.py`) both resolve a stack file with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.config.errors import ValidationErrors
from mesh.config.models.links import LinkOptions
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import ClusterExtensions, ClusterMeshMember, DeclaredNamespace, DeclaredService, Sample
from mesh.config.validation import cilium, extensions, links, samples, services
from mesh.config.validation.exports import ExportValidator
from mesh.config.validation.profiles import ProfileResolver
from mesh.config.validation.routes import RouteValidator
from mesh.config.validation.traffic import TrafficValidators
from mesh.linkerd_releases import LinkerdRelease
from mesh.topology import Link


@dataclass(frozen=True, kw_only=True)
class StackOutline:
    """Links, extensions, ClusterMesh members, samples and services of a stack file."""

    has_linkerd: bool
    links: Mapping[Link, LinkOptions]
    cilium: Mapping[str, ClusterMeshMember]  # by cluster; empty without Cilium
    extensions: Mapping[str, ClusterExtensions]  # by cluster
    samples: tuple[Sample, ...]
    namespaces: tuple[DeclaredNamespace, ...]
    services: tuple[DeclaredService, ...]


def resolve_outline(
    parsed: ParsedStackFile,
    names: Sequence[str],
    linkerd_release: LinkerdRelease,
    errors: ValidationErrors,
    *,
    has_linkerd: bool,
    folder: Path,
) -> StackOutline:
    """Return the outline of a stack file.

    Args:
        parsed: the stack file.
        names: the names of all its clusters, including invalid clusters.
        linkerd_release: the Linkerd release of the mesh.
        errors: collects validation errors.
        has_linkerd: whether the stack has Linkerd.
        folder: folder of the stack file, which paths of documents are relative to.
    """
    link_options = links.resolve_links(parsed, names, errors)
    members = cilium.resolve_clustermesh(parsed, names, errors)
    if not has_linkerd:
        cilium.check_without_linkerd(parsed, errors)
    cluster_extensions = extensions.resolve_extensions(
        parsed, names, link_options, linkerd_release, errors, has_linkerd=has_linkerd
    )
    all_links = list(link_options)
    validators = TrafficValidators(
        exports=ExportValidator(parsed, all_links, linkerd_release, errors),
        routes=RouteValidator(parsed, names, all_links, cluster_extensions, linkerd_release, errors),
        profiles=ProfileResolver(parsed, folder, linkerd_release, errors),
    )
    sample_workloads = samples.resolve_samples(parsed, names, all_links, validators, errors, has_linkerd=has_linkerd)
    namespaces = services.resolve_namespaces(parsed, names, errors, has_linkerd=has_linkerd)
    declared_services = services.resolve_services(
        parsed, names, all_links, sample_workloads, namespaces, validators, errors, has_linkerd=has_linkerd
    )
    return StackOutline(
        has_linkerd=has_linkerd,
        links=link_options,
        cilium=members,
        extensions=cluster_extensions,
        samples=tuple(sample_workloads),
        namespaces=tuple(namespaces),
        services=tuple(declared_services),
    )
