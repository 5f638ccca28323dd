"""What a chart source has: the charts of a repository's index, or of a folder of archives, with their versions.

Only asked where a stack file alone doesn't say which versions of charts belong to a release. No credential is sent.
Follows https://helm.sh/docs/topics/chart_repository/.
"""

from __future__ import annotations

import gzip
import http.client
import io
import re
import tarfile
import urllib.request
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.concurrency import run_concurrently
from mesh.strict_yaml import Limits, StrictYamlError, load

# Seconds for a repository to answer, to the last byte, and what its index, or an archive's Chart.yaml, may hold.
DOWNLOAD_TIMEOUT_S = 15
INDEX_LIMITS = Limits(max_bytes=64 * 2**20, max_values=2_000_000)
METADATA_LIMITS = Limits(max_bytes=2**20, max_values=10_000)
# Bytes of an unpacked archive before its Chart.yaml must have come.
MAX_DOWNLOAD_BYTES = 64 * 2**20

# What Helm could ask for, and what may stand in a label.
_VERSION = re.compile(r"[0-9A-Za-z][-+._0-9A-Za-z]{0,127}")
# What reading an archive, or an answer, may end in.
_ARCHIVE_ERRORS = (OSError, EOFError, LookupError, StopIteration, TypeError, ValueError, tarfile.TarError, zlib.error)


class ChartRepositoryError(Exception):
    """The source can't be asked; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One version of a chart."""

    name: str
    version: str
    app_version: str


def list_charts(source: str, names: Collection[str]) -> list[Chart]:
    """All versions that a source has of some charts, in its own order.

    Args:
        source: a chart repository's URL, or a folder of archives.
        names: of the charts.

    Raises:
        ChartSourceError: nothing can be told; `oci://` references have no index at all.
    """
    if source.startswith("oci://"):
        raise ChartRepositoryError("an oci:// reference has no index")
    if Path(source).is_dir():
        return [chart for chart in _folder_charts(Path(source)) if chart.name in names]
    address = f"{source.rstrip('/')}/index.yaml"
    try:
        # A timeout of a connection begins anew with each byte.
        (content,) = run_concurrently([lambda: _download(address)], idle_timeout_s=DOWNLOAD_TIMEOUT_S)
        return [chart for chart in _index_charts(content) if chart.name in names]
    except (*_ARCHIVE_ERRORS, http.client.HTTPException, StrictYamlError) as error:
        raise ChartRepositoryError(f"{address}: {_plain(error)}") from None


def read_chart_metadata(archive: Path) -> dict[str, Any]:
    """The Chart.yaml of a chart's archive.

    Raises:
        ChartSourceError: it has none, or isn't a chart.
    """
    try:
        if not archive.is_file():  # a pipe would never end
            raise ValueError("not a file")
        with gzip.open(archive) as packed:
            # As far as the Chart.yaml can be: a few kilobytes unpack to whatever somebody likes.
            unpacked = io.BytesIO(packed.read(MAX_DOWNLOAD_BYTES))
        with tarfile.open(fileobj=unpacked, mode="r:") as files:
            # A chart's own is one level down; those of its dependencies are deeper.
            member = next(each for each in files if each.name.count("/") == 1 and each.name.endswith("/Chart.yaml"))
            file = files.extractfile(member)
            return _mapping(
                load(file.read(METADATA_LIMITS.max_bytes + 1) if file is not None else b"", METADATA_LIMITS)
            )
    except (*_ARCHIVE_ERRORS, StrictYamlError) as error:
        raise ChartRepositoryError(f"{archive}: {_plain(error)}") from None


def _download(address: str) -> bytes:
    # Without files and FTP, to which a redirect could lead.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    with opener.open(address, timeout=DOWNLOAD_TIMEOUT_S) as answer:
        content: bytes = answer.read(INDEX_LIMITS.max_bytes + 1)
    return content


def _index_charts(content: bytes) -> Iterator[Chart]:
    for name, versions in _mapping(_mapping(load(content, INDEX_LIMITS))["entries"]).items():
        for entry in versions:
            chart = _chart({"name": name, **entry})
            if chart is not None:
                yield chart


def _folder_charts(folder: Path) -> Iterator[Chart]:
    for path in sorted(folder.glob("*.tgz")):
        try:
            chart = _chart(read_chart_metadata(path))
        except (ChartRepositoryError, KeyError):
            continue  # not a chart, or not one that Helm could use
        if chart is not None:
            yield chart


def _chart(entry: dict[str, Any]) -> Chart | None:
    """One version of a chart; None for one that Helm couldn't use."""
    version, app_version = str(entry["version"]), str(entry.get("appVersion") or "")
    if not _VERSION.fullmatch(version):
        return None
    return Chart(
        name=str(entry["name"]), version=version, app_version=app_version if _VERSION.fullmatch(app_version) else ""
    )


def _mapping(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError("not what a chart repository has")
    return found


def _plain(error: Exception) -> str:
    if isinstance(error, LookupError | StopIteration | TypeError):
        return "not what a chart repository has"
    reason = getattr(error, "reason", None)
    first = (str(reason or error).strip().splitlines() or [type(error).__name__])[0][:200]
    return first if first.isprintable() else "not an answer that could be read"
