"""Where charts come from: one place for all of them, or each from its own repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from mesh.config.errors import ValidationErrors
from mesh.config.field_types import expand_path, is_chart_source
from mesh.config.models.stack_file import ChartSourceName, StackFile
from mesh.linkerd_releases import (
    CHART_REPOSITORY_URLS,
    LINKERD_EDGE_CHARTS_URL,
    LINKERD_STABLE_CHARTS_URL,
    LinkerdRelease,
)

CHARTS_VARIABLE = "MULTICLUSTER_MESH_CHARTS"


def resolve_chart_sources(
    file: StackFile, environment: Mapping[str, str], release: LinkerdRelease, faults: ValidationErrors
) -> dict[ChartSourceName, str]:
    """The URL of a chart repository, an `oci://` reference or a folder of archives, for each chart.

    Args:
        file: the stack file.
        environment: of the process.
        release: of Linkerd, which has one repository for stable releases and one for all others.
        faults: where faults go.
    """
    named = environment.get(CHARTS_VARIABLE)
    if file.charts.repository is None and named and not is_chart_source(named):
        rule = "neither the URL of charts nor a folder that is there"
        faults.add((f"${CHARTS_VARIABLE}",), named, rule, "set it to one of them, or unset it")
    all_of_them = file.charts.repository or named
    own = {
        "linkerd": LINKERD_STABLE_CHARTS_URL if release.channel == "stable" else LINKERD_EDGE_CHARTS_URL,
        **CHART_REPOSITORY_URLS,
    }
    return {
        chart: expand_path(file.charts.repositories.get(chart) or all_of_them or own[chart])
        for chart in get_args(ChartSourceName)
    }


def is_linkerds_own(source: str) -> bool:
    """Whether Linkerd itself publishes its charts there."""
    return source in (LINKERD_STABLE_CHARTS_URL, LINKERD_EDGE_CHARTS_URL)
