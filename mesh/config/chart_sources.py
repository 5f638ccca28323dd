"""Where charts come from: one place for all of them, or each from its own repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from mesh.config.errors import Faults
from mesh.config.field_types import expanded, is_source
from mesh.config.models.stack_file import ChartName, StackFile
from mesh.linkerd_releases import CHART_SOURCES, LINKERD_CHARTS, LINKERD_EDGE_CHARTS, LinkerdRelease

VARIABLE = "MULTICLUSTER_MESH_CHARTS"


def sources(
    file: StackFile, environment: Mapping[str, str], release: LinkerdRelease, faults: Faults
) -> dict[ChartName, str]:
    """The URL of a chart repository, an `oci://` reference or a folder of archives, for each chart.

    Args:
        file: the stack file.
        environment: of the process.
        release: of Linkerd, which has one repository for stable releases and one for all others.
        faults: where faults go.
    """
    named = environment.get(VARIABLE)
    if file.charts.repository is None and named and not is_source(named):
        rule = "neither the URL of charts nor a folder that is there"
        faults.add((f"${VARIABLE}",), named, rule, "set it to one of them, or unset it")
    all_of_them = file.charts.repository or named
    own = {"linkerd": LINKERD_CHARTS if release.channel == "stable" else LINKERD_EDGE_CHARTS, **CHART_SOURCES}
    return {
        chart: expanded(file.charts.repositories.get(chart) or all_of_them or own[chart])
        for chart in get_args(ChartName)
    }


def is_linkerds_own(source: str) -> bool:
    """Whether Linkerd itself publishes its charts there."""
    return source in (LINKERD_CHARTS, LINKERD_EDGE_CHARTS)
