"""Choice of the Linkerd release, from its name in the stack file or from the chart source that contains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mesh.config.errors import ValidationErrors, join_names
from mesh.linkerd_releases import (
    DEFAULT_LINKERD_VERSION,
    LINKERD_EDGE_CHARTS_URL,
    LINKERD_RELEASES,
    LINKERD_STABLE_CHARTS_URL,
    NEWEST_TESTED_EDGE,
    LinkerdRelease,
    build_unknown_release,
    find_linkerd_release,
    is_too_old,
    parse_edge,
    with_chart_versions,
)

if TYPE_CHECKING:
    from mesh.chart_repository import Chart

VERSION_PATH = ("linkerd", "version")
_REQUIRED_CHARTS = ("linkerd-crds", "linkerd-control-plane")
# Needed only for links, CNI or viz. Helm reports a missing one.
_OPTIONAL_CHARTS = ("linkerd-multicluster", "linkerd2-cni", "linkerd-viz", "linkerd-jaeger")


def assume_release(version: str) -> LinkerdRelease:
    """Return the release with a given name, without reading a chart source.

    A release with an unknown name is treated like the newest known release.

    Args:
        version: the name in the stack file, such as `2.14.10` or `edge-25.4.4`.
    """
    known = find_linkerd_release(version)
    return known if known is not None else build_unknown_release(version, version, _same_version_everywhere(version))


def resolve_linkerd_release(
    version: str, configured_source: str | None, errors: ValidationErrors
) -> tuple[LinkerdRelease, str]:
    """Return the Linkerd release with the versions of its charts, and the source of these charts.

    Linkerd's own repositories have known chart versions. Another source can have other versions and unknown releases,
    so its index is read.

    Args:
        version: the name in the stack file.
        configured_source: the source of Linkerd's charts in the configuration; None: Linkerd's own repository.
        errors: collects validation errors and warnings.
    """
    assumed = assume_release(version)
    default_source = LINKERD_STABLE_CHARTS_URL if assumed.channel == "stable" else LINKERD_EDGE_CHARTS_URL
    source = configured_source or default_source
    return _resolve(version, assumed, source, errors), source


def _resolve(version: str, assumed: LinkerdRelease, source: str, errors: ValidationErrors) -> LinkerdRelease:
    is_official = source in (LINKERD_STABLE_CHARTS_URL, LINKERD_EDGE_CHARTS_URL)
    if assumed.is_known and (assumed.channel == "stable" or is_official):
        _warn_if_untested(version, assumed, errors)
        return assumed
    # Other sources may number their charts in their own way.
    too_old = is_official and is_too_old(version)
    resolved = None if too_old else _find_release_in_charts(version, assumed, source, errors)
    if too_old or (resolved is not None and is_too_old(resolved.tag)):
        remedy = f"choose one of {', '.join(LINKERD_RELEASES)}"
        errors.add(VERSION_PATH, version, "unknown Linkerd release", remedy)
        resolved = None
    if resolved is None:
        return LINKERD_RELEASES[DEFAULT_LINKERD_VERSION]
    _warn_if_untested(version, resolved, errors)
    return resolved


def _warn_if_untested(version: str, linkerd_release: LinkerdRelease, errors: ValidationErrors) -> None:
    if not linkerd_release.is_known:
        rule = "unknown Linkerd release, treated as one after the newest known release"
        remedy = f"test it on clusters without production traffic, or choose one of {', '.join(LINKERD_RELEASES)}"
        errors.warn(VERSION_PATH, version, rule, remedy)
        return
    edge = parse_edge(linkerd_release.tag)
    if edge is not None and edge > NEWEST_TESTED_EDGE:
        year, month, number = NEWEST_TESTED_EDGE
        rule = f"newer than edge-{year}.{month}.{number}, the newest release that this program was tested with"
        errors.warn(VERSION_PATH, version, rule, "test it on clusters without production traffic")


def _find_release_in_charts(
    version: str, assumed: LinkerdRelease, source: str, errors: ValidationErrors
) -> LinkerdRelease | None:
    """Return the release with the chart versions of a source, or report that the source does not have it."""
    # The import is slow, and a stack with a stable release does not need it.
    from mesh import chart_repository

    try:
        charts = chart_repository.list_charts(source, (*_REQUIRED_CHARTS, *_OPTIONAL_CHARTS))
    except chart_repository.ChartRepositoryError as error:
        # Helm finds the charts of a known release, or reports that they are missing. OCI registries have no index.
        if assumed.is_known or source.startswith("oci://"):
            return assumed
        rule = f"unknown Linkerd release, and its chart source cannot be read ({error})"
        remedy = f"choose one of {', '.join(LINKERD_RELEASES)}, or make charts.repository reachable"
        errors.add(VERSION_PATH, version, rule, remedy)
        return None
    names = (
        {assumed.tag, assumed.control_plane} if assumed.is_known else {version, f"edge-{version}", f"stable-{version}"}
    )
    control_planes = [chart for chart in charts if chart.name == "linkerd-control-plane"]
    control_plane = next((chart for chart in control_planes if {chart.version, chart.app_version} & names), None)
    if control_plane is None:
        remedy = "set charts.repositories.linkerd to a source that has Linkerd's charts"
        if control_planes:
            remedy = f"choose a release that it has: {join_names(_release_names(control_planes))}"
        errors.add(VERSION_PATH, version, f"{source} has no linkerd-control-plane chart of this release", remedy)
        return None
    versions = _chart_versions(charts, control_plane)
    missing = [name for name in _REQUIRED_CHARTS if name not in versions]
    if missing:
        rule = f"{source} has linkerd-control-plane {control_plane.version}, but no {' and no '.join(missing)} of it"
        errors.add(VERSION_PATH, version, rule, "add the chart there, or choose another release")
        return None
    tag = control_plane.app_version or version
    known = assumed if assumed.is_known else find_linkerd_release(tag) or find_linkerd_release(control_plane.version)
    return with_chart_versions(known, versions) if known is not None else build_unknown_release(version, tag, versions)


def _chart_versions(charts: Sequence[Chart], control_plane: Chart) -> dict[str, str]:
    """Return the versions of the charts that belong to the release of a control plane chart."""
    app_version = control_plane.app_version
    return {
        chart.name: chart.version
        for chart in reversed(charts)
        if chart.version == control_plane.version or (app_version and chart.app_version == app_version)
    }


def _release_names(control_planes: Sequence[Chart]) -> list[str]:
    return list(dict.fromkeys(chart.app_version or chart.version for chart in control_planes))


def _same_version_everywhere(version: str) -> Mapping[str, str]:
    return dict.fromkeys((*_REQUIRED_CHARTS, *_OPTIONAL_CHARTS), version)
