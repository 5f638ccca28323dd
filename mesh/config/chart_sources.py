"""Sources of the charts: one source for all charts, or one for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from mesh.addon_chart_versions import CHART_REPOSITORY_URLS
from mesh.config.errors import ValidationErrors
from mesh.config.models.stack_file import ChartSourceName, StackFile
from mesh.config.value_checks import expand_path, is_chart_source

CHARTS_VARIABLE = "MULTICLUSTER_MESH_CHARTS"


def read_chart_sources(
    file: StackFile, environment: Mapping[str, str], errors: ValidationErrors
) -> dict[ChartSourceName, str]:
    """Return the configured chart sources: repository URLs, `oci://` references or folders of chart archives.

    Charts without a configured source come from their default repositories.

    Args:
        file: the parsed stack file.
        environment: environment variables of the process.
        errors: collects validation errors.
    """
    variable = environment.get(CHARTS_VARIABLE)
    if file.charts.repository is None and variable and not is_chart_source(variable):
        rule = "neither the URL of a chart source nor an existing folder"
        errors.add((f"${CHARTS_VARIABLE}",), variable, rule, "set it to a URL or a folder, or unset it")
    shared = file.charts.repository or variable
    sources = {name: file.charts.repositories.get(name) or shared for name in get_args(ChartSourceName)}
    return {name: expand_path(source) for name, source in sources.items() if source}


def add_default_sources(configured: Mapping[ChartSourceName, str], linkerd_source: str) -> dict[ChartSourceName, str]:
    """Return the source of every chart.

    Args:
        configured: the configured sources.
        linkerd_source: the source of Linkerd's charts.
    """
    defaults = {**CHART_REPOSITORY_URLS, "linkerd": linkerd_source}
    return {name: configured.get(name) or defaults[name] for name in get_args(ChartSourceName)}
