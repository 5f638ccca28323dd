"""What a chart source has: the charts of a repository's index, or of a folder of archives, with their versions.

Only asked where a stack file alone doesn't say which versions of charts belong to a release. No credential is sent.
Follows https://helm.sh/docs/topics/chart_repository/.
"""

from __future__ import annotations

import tarfile
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# Seconds for a repository to answer, and bytes that its index may have.
PATIENCE = 15
LARGEST = 64 * 1024 * 1024


class ChartSourceError(Exception):
    """The source can't be asked; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One version of a chart."""

    name: str
    version: str
    app_version: str


def charts(source: str, names: Collection[str]) -> list[Chart]:
    """All versions that a source has of some charts, in its own order.

    Args:
        source: a chart repository's URL, or a folder of archives.
        names: of the charts.

    Raises:
        ChartSourceError: nothing can be told; `oci://` references have no index at all.
    """
    if source.startswith("oci://"):
        raise ChartSourceError("an oci:// reference has no index")
    found = _archives(Path(source)) if Path(source).is_dir() else _entries(source)
    return [chart for chart in found if chart.name in names]


def _entries(source: str) -> Iterator[Chart]:
    address = f"{source.rstrip('/')}/index.yaml"
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            index = _parsed(answer.read(LARGEST))
        for name, versions in index["entries"].items():
            for entry in versions:
                yield _chart({"name": name, **entry})
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ChartSourceError(f"{address}: {_plain(error)}") from None


def _archives(folder: Path) -> Iterator[Chart]:
    for path in sorted(folder.glob("*.tgz")):
        try:
            with tarfile.open(path) as archive:
                # A chart's own Chart.yaml is one level down; those of its dependencies are deeper.
                member = next(
                    each for each in archive if each.name.count("/") == 1 and each.name.endswith("/Chart.yaml")
                )
                file = archive.extractfile(member)
                yield _chart(_parsed(file.read(LARGEST)) if file is not None else {})
        except (OSError, ValueError, tarfile.TarError, StopIteration, yaml.YAMLError, KeyError, TypeError):
            continue  # not a chart, or not one that Helm could use


def _chart(entry: dict[str, Any]) -> Chart:
    return Chart(name=str(entry["name"]), version=str(entry["version"]), app_version=str(entry.get("appVersion") or ""))


def _parsed(content: bytes) -> dict[str, Any]:
    # The same content, ten times as fast: a public repository's index has thousands of entries.
    found = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(found, dict):
        raise ValueError("not an index of charts")
    return found


def _plain(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    first = str(reason or error).strip().splitlines() or [type(error).__name__]
    return first[0][:200]
