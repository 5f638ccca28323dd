"""The release of Linkerd that a stack file names: known by itself, or found in the chart source that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mesh.config.errors import ValidationErrors, join_names
from mesh.config.models.stack_file import StackFile
from mesh.linkerd_releases import (
    DEFAULT_LINKERD_VERSION,
    LINKERD_RELEASES,
    NEWEST_TESTED_EDGE,
    LinkerdRelease,
    is_too_old,
    linkerd_release,
    parse_edge,
    unknown_release,
    with_chart_versions,
)

if TYPE_CHECKING:
    from mesh.chart_repository import Chart

VERSION_PATH = ("linkerd", "version")
_REQUIRED_CHARTS = ("linkerd-crds", "linkerd-control-plane")
# Only where there are links, CNI or viz; that Helm doesn't find one is said by Helm.
_OPTIONAL_CHARTS = ("linkerd-multicluster", "linkerd2-cni", "linkerd-viz", "linkerd-jaeger")


def release_from_name(file: StackFile) -> LinkerdRelease:
    """The release by its name alone, which asks nobody; one that isn't known is taken for the newest generation."""
    version = file.linkerd.version
    found = linkerd_release(version)
    return found if found is not None else unknown_release(version, version, _same_version_everywhere(version))


def resolve_release(file: StackFile, source: str, *, own: bool, faults: ValidationErrors) -> LinkerdRelease:
    """The release that the stack file names, with the versions of its charts.

    The versions of edge releases' charts are as Linkerd publishes them. In another place they may have others, as may
    releases that this program doesn't know: there the source's index decides.

    Args:
        file: the stack file.
        source: where Linkerd's charts come from.
        own: whether that is Linkerd's own repository.
        faults: where faults and warnings go.
    """
    version = file.linkerd.version
    known = linkerd_release(version)
    if known is not None and (known.channel == "stable" or own):
        _warn_if_untested(version, known, faults)
        return known
    # Charts may have numbers of their own anywhere but in Linkerd's repository.
    past = own and is_too_old(version)
    found = None if past else _find_release_in_charts(version, known, source, faults)
    if past or (found is not None and is_too_old(found.tag)):
        faults.add(
            VERSION_PATH,
            version,
            "not a release that this program knows",
            f"choose one of {', '.join(LINKERD_RELEASES)}",
        )
        found = None
    if found is None:
        return LINKERD_RELEASES[DEFAULT_LINKERD_VERSION]
    _warn_if_untested(version, found, faults)
    return found


def _warn_if_untested(version: str, found: LinkerdRelease, faults: ValidationErrors) -> None:
    if not found.known:
        rule = "not a release that this program knows; it is taken for one after the newest that it does"
        faults.warn(
            VERSION_PATH,
            version,
            rule,
            f"try it on clusters that may break, or choose one of {', '.join(LINKERD_RELEASES)}",
        )
        return
    named = parse_edge(found.tag)
    if named is not None and named > NEWEST_TESTED_EDGE:
        year, month, number = NEWEST_TESTED_EDGE
        rule = f"newer than edge-{year}.{month}.{number}, the newest that this program was tried with"
        faults.warn(VERSION_PATH, version, rule, "try it on clusters that may break first")


def _find_release_in_charts(
    version: str, known: LinkerdRelease | None, source: str, faults: ValidationErrors
) -> LinkerdRelease | None:
    """The release as a chart source has it; a fault if it hasn't."""
    # Slow to import, and of no use to a stack of a stable release.
    from mesh import chart_repository

    try:
        there = chart_repository.list_charts(source, (*_REQUIRED_CHARTS, *_OPTIONAL_CHARTS))
    except chart_repository.ChartRepositoryError as error:
        if known is not None:
            return known  # Helm finds its charts, or says so
        if source.startswith("oci://"):
            return unknown_release(version, version, _same_version_everywhere(version))
        rule = f"not a release that this program knows, and the chart source can't be asked for it ({error})"
        faults.add(
            VERSION_PATH,
            version,
            rule,
            f"choose one of {', '.join(LINKERD_RELEASES)}, or let charts.repository be reached",
        )
        return None
    wanted = {version, f"edge-{version}", f"stable-{version}"} if known is None else {known.tag, known.control_plane}
    control_planes = [chart for chart in there if chart.name == "linkerd-control-plane"]
    main = next((chart for chart in control_planes if {chart.version, chart.app_version} & wanted), None)
    if main is None:
        rule = f"{source} has no linkerd-control-plane of it"
        remedy = f"choose one that it has: {join_names(_release_names(control_planes))}"
        faults.add(VERSION_PATH, version, rule, remedy if control_planes else "name a place that has Linkerd's charts")
        return None

    def belongs(chart: Chart) -> bool:
        return chart.version == main.version or (bool(main.app_version) and chart.app_version == main.app_version)

    versions = {chart.name: chart.version for chart in reversed(there) if belongs(chart)}
    missing = [name for name in _REQUIRED_CHARTS if name not in versions]
    if missing:
        rule = f"{source} has a linkerd-control-plane {main.version}, and no {' and no '.join(missing)} of it"
        faults.add(VERSION_PATH, version, rule, "add it there, or choose another release")
        return None
    tag = main.app_version or version
    recognised = known or linkerd_release(tag) or linkerd_release(main.version)
    return (
        with_chart_versions(recognised, versions) if recognised is not None else unknown_release(version, tag, versions)
    )


def _release_names(control_planes: Sequence[Chart]) -> list[str]:
    return list(dict.fromkeys(chart.app_version or chart.version for chart in control_planes))


def _same_version_everywhere(version: str) -> Mapping[str, str]:
    return dict.fromkeys((*_REQUIRED_CHARTS, *_OPTIONAL_CHARTS), version)
