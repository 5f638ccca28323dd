"""Contents of a chart source: a repository with an index, or a folder of chart archives.

A chart source is read only if the stack file does not determine the chart versions of a release. No credentials are
sent. Follows https://helm.sh/docs/topics/chart_repository/.
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
from mesh.strict_yaml import MANIFEST_LIMITS, Limits, StrictYamlError, load

DOWNLOAD_TIMEOUT_S = 15  # for the whole index
METADATA_LIMITS = Limits(max_bytes=2**20, max_values=10_000)
# Unpacked bytes of an archive that are searched for Chart.yaml.
MAX_UNPACKED_BYTES = 64 * 2**20

# Versions that Helm can request and that are valid in a label.
_VERSION = re.compile(r"[0-9A-Za-z][-+._0-9A-Za-z]{0,127}")
_INVALID = "invalid content of a chart repository"
# Errors of a hostile or damaged archive or response.
_READ_ERRORS = (OSError, EOFError, LookupError, StopIteration, TypeError, ValueError, tarfile.TarError, zlib.error)


class ChartRepositoryError(Exception):
    """A chart source that cannot be read; the message contains the reason."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One version of a chart."""

    name: str
    version: str
    app_version: str


def list_charts(source: str, names: Collection[str]) -> list[Chart]:
    """Return all versions of some charts, in the order of the source.

    Args:
        source: URL of a chart repository, or path of a folder of archives.
        names: chart names.

    Raises:
        ChartRepositoryError: the source cannot be read. `oci://` references have no index.
    """
    if source.startswith("oci://"):
        raise ChartRepositoryError("an oci:// reference has no index")
    if Path(source).is_dir():
        return [chart for chart in _read_folder(Path(source)) if chart.name in names]
    address = f"{source.rstrip('/')}/index.yaml"
    try:
        # The timeout of a connection restarts with each received byte, so a limit for the whole download is needed.
        (content,) = run_concurrently([lambda: _download(address)], idle_timeout_s=DOWNLOAD_TIMEOUT_S)
        return [chart for chart in _parse_index(content) if chart.name in names]
    except (*_READ_ERRORS, http.client.HTTPException, StrictYamlError) as error:
        raise ChartRepositoryError(f"{address}: {_describe(error)}") from None


def read_chart_metadata(archive: Path) -> dict[str, Any]:
    """Return the Chart.yaml of a chart archive.

    Raises:
        ChartRepositoryError: the file is no chart archive.
    """
    try:
        if not archive.is_file():  # reading a pipe might never end
            raise ValueError("not a file")
        with gzip.open(archive) as packed:
            # Limited, because a few kilobytes can unpack to any size.
            unpacked = io.BytesIO(packed.read(MAX_UNPACKED_BYTES))
        with tarfile.open(fileobj=unpacked, mode="r:") as files:
            # The Chart.yaml files of dependencies are in deeper folders.
            member = next(each for each in files if each.name.count("/") == 1 and each.name.endswith("/Chart.yaml"))
            file = files.extractfile(member)
            return _require_mapping(
                load(file.read(METADATA_LIMITS.max_bytes + 1) if file is not None else b"", METADATA_LIMITS)
            )
    except (*_READ_ERRORS, StrictYamlError) as error:
        raise ChartRepositoryError(f"{archive}: {_describe(error)}") from None


def _download(address: str) -> bytes:
    # Without handlers for files and FTP, to which a redirect could lead.
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
    with opener.open(address, timeout=DOWNLOAD_TIMEOUT_S) as response:
        content: bytes = response.read(MANIFEST_LIMITS.max_bytes + 1)
    return content


def _parse_index(content: bytes) -> Iterator[Chart]:
    for name, versions in _require_mapping(_require_mapping(load(content, MANIFEST_LIMITS))["entries"]).items():
        for entry in versions:
            chart = _parse_chart({"name": name, **entry})
            if chart is not None:
                yield chart


def _read_folder(folder: Path) -> Iterator[Chart]:
    for path in sorted(folder.glob("*.tgz")):
        try:
            chart = _parse_chart(read_chart_metadata(path))
        except (ChartRepositoryError, KeyError):
            continue  # not a valid chart
        if chart is not None:
            yield chart


def _parse_chart(entry: dict[str, Any]) -> Chart | None:
    """Return one version of a chart, or None if Helm could not use the version."""
    version, app_version = str(entry["version"]), str(entry.get("appVersion") or "")
    if not _VERSION.fullmatch(version):
        return None
    return Chart(
        name=str(entry["name"]), version=version, app_version=app_version if _VERSION.fullmatch(app_version) else ""
    )


def _require_mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(_INVALID)
    return value


def _describe(error: Exception) -> str:
    if isinstance(error, LookupError | StopIteration | TypeError):
        return _INVALID
    reason = getattr(error, "reason", None)
    first = (str(reason or error).strip().splitlines() or [type(error).__name__])[0][:200]
    return first if first.isprintable() else "unreadable response"
