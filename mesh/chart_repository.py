"""Contents of a chart source: a repository with an index, an OCI registry, or a folder of chart archives.

A chart source is read if the stack file does not determine the chart versions of a release, or sets values of a chart.
No credentials are sent. Follows https://helm.sh/docs/topics/chart_repository/, https://helm.sh/docs/topics/registries/
and https://github.com/opencontainers/distribution-spec/blob/main/spec.md (pull).
"""

from __future__ import annotations

import gzip
import http.client
import io
import json
import re
import tarfile
import urllib.request
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin

from mesh.bounded_io import read_regular_file
from mesh.concurrency import run_concurrently
from mesh.strict_yaml import MANIFEST_LIMITS, Limits, StrictYamlError, load

DOWNLOAD_TIMEOUT_S = 15  # for the whole index
METADATA_LIMITS = Limits(max_bytes=2**20, max_values=10_000)
# Unpacked bytes of an archive that are searched for files.
MAX_UNPACKED_BYTES = 64 * 2**20
MAX_ARCHIVE_BYTES = 16 * 2**20
MAX_FILE_BYTES = 4 * 2**20  # limit for one file in a chart

_OCI_PREFIX = "oci://"
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_OCI_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_LOOPBACK_HOST = re.compile(r"(localhost|127\.[\d.]+|\[::1\])(:\d+)?")
# Files of a chart that are read: its metadata, values, schema and templates, and the metadata and helper templates of
# its dependencies.
_CHART_FILE = re.compile(
    r"(Chart|requirements)\.yaml|values[^/]*\.yaml|values\.schema\.json|templates/.+|charts/.+/(Chart\.yaml|_[^/]+)"
)

# Versions that Helm can request and that are valid in a label.
_VERSION = re.compile(r"[0-9A-Za-z][-+._0-9A-Za-z]{0,127}")
_INVALID = "invalid content of a chart repository"
# Errors of a hostile or damaged archive or response.
_READ_ERRORS = (
    OSError,
    EOFError,
    LookupError,
    RecursionError,
    StopIteration,
    TypeError,
    ValueError,
    tarfile.TarError,
    zlib.error,
)


# Content of a chart's files, by path in the chart.
ChartFiles = Mapping[str, bytes]


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
    if _is_folder(source):
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


def read_charts(source: str, charts: Collection[tuple[str, str]]) -> dict[tuple[str, str], ChartFiles | str]:
    """Return the files of some charts of one source, or for each chart that cannot be read the reason.

    The duration is not limited: a server can send its response slowly.

    Args:
        source: URL of a chart repository, `oci://` reference, or path of a folder of archives.
        charts: names and versions.
    """
    results: dict[tuple[str, str], ChartFiles | str] = {}
    index: bytes | None = None
    for name, version in charts:
        address = source
        try:
            if source.startswith(_OCI_PREFIX):
                address = f"{source.rstrip('/')}/{name}:{version}"
                archive = _pull(address)
            elif _is_folder(source):
                address = str(Path(source) / f"{name}-{version}.tgz")
                archive = read_regular_file(Path(address), MAX_ARCHIVE_BYTES)
            else:
                address = f"{source.rstrip('/')}/index.yaml"
                index = index or _download(address)
                address = _find_archive(index, source, name, version)
                archive = _pull(address) if address.startswith(_OCI_PREFIX) else _download(address, MAX_ARCHIVE_BYTES)
            results[name, version] = _read_files(archive)
        except (*_READ_ERRORS, http.client.HTTPException, StrictYamlError) as error:
            is_file = isinstance(error, OSError) and error.filename is not None
            # The text of such an error repeats the path.
            reason = getattr(error, "strerror", None) if is_file else None
            # An index can name addresses with credentials.
            public = re.sub(r"//[^/]*@", "//…@", address.partition("?")[0])
            results[name, version] = f"{public}: {reason or _describe(error)}"
    return results


def read_chart_folder(folder: Path) -> ChartFiles:
    """Return the files of an unpacked chart.

    Args:
        folder: the folder with Chart.yaml.
    """
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if _CHART_FILE.fullmatch(name)}


def _is_folder(source: str) -> bool:
    try:
        return Path(source).is_dir()
    except OSError:  # a URL can be longer than a path
        return False


def _find_archive(index: bytes, source: str, name: str, version: str) -> str:
    """Return the address of a chart's archive.

    Raises:
        ValueError: the repository does not have this version of the chart.
    """
    for entry in _index_entries(index, name):
        if isinstance(entry, dict) and _is_same_version(str(entry.get("version")), version):
            return urljoin(f"{source.rstrip('/')}/", str(entry["urls"][0]))
    raise ValueError(f"no {name} {version}")


def _index_entries(index: bytes, name: str) -> list[Any]:
    """Return the entries of one chart in the index of a repository.

    Indexes are long, and strict parsing takes seconds. Helm writes each chart as one block, which is parsed alone.
    """
    start, lines = rb"^entries:\n(?:[ #].*\n|\n)*?  %b:\n" % re.escape(name.encode()), rb"((?:  [ -].*(?:\n|\Z)|\n)+)"
    block = re.search(start + lines, index, re.MULTILINE)
    if block is not None:
        try:
            entries: Any = load(block[1], MANIFEST_LIMITS)
        except StrictYamlError:
            entries = None
        if isinstance(entries, list):
            return entries
    return list(_require_mapping(_require_mapping(load(index, MANIFEST_LIMITS))["entries"]).get(name) or [])


def _is_same_version(one: str, other: str) -> bool:
    # Helm compares semantic versions: a leading `v` and build metadata do not matter.
    return one == other or one.removeprefix("v").partition("+")[0] == other.removeprefix("v").partition("+")[0]


def _pull(reference: str) -> bytes:
    """Return a chart's archive from an OCI registry that needs no credentials.

    Args:
        reference: `oci://`, host, path and tag.
    """
    host, _, path = reference.removeprefix(_OCI_PREFIX).partition("/")
    repository, _, tag = path.rpartition(":")
    host = {"docker.io": "registry-1.docker.io"}.get(host, host)
    # Registries on this machine seldom have certificates, so Helm's library uses HTTP for them.
    scheme = "http" if _LOOPBACK_HOST.fullmatch(host) else "https"
    base = f"{scheme}://{host}/v2/{repository}"
    # A tag cannot contain `+`.
    address, headers = f"{base}/manifests/{tag.replace('+', '_')}", {"Accept": _OCI_MANIFEST}
    try:
        manifest = _download(address, METADATA_LIMITS.max_bytes, headers)
    except HTTPError as error:
        if error.code != http.client.UNAUTHORIZED:
            raise
        headers["Authorization"] = f"Bearer {_anonymous_token(error.headers.get('WWW-Authenticate') or '')}"
        manifest = _download(address, METADATA_LIMITS.max_bytes, headers)
    layers = _require_mapping(json.loads(manifest)).get("layers") or []
    digest = next(str(layer["digest"]) for layer in layers if layer["mediaType"] == _OCI_CHART)
    return _download(f"{base}/blobs/{digest}", MAX_ARCHIVE_BYTES, headers)


def _anonymous_token(challenge: str) -> str:
    """Return the token with which a registry lets everybody pull.

    Args:
        challenge: the header WWW-Authenticate, such as `Bearer realm="https://auth.example.com",service="…"`.

    Raises:
        ValueError: the registry requires credentials.
    """
    scheme, _, parameters = challenge.partition(" ")
    values = dict(re.findall(r'(\w+)="([^"]*)"', parameters))
    realm = values.pop("realm", "")
    if scheme.lower() != "bearer" or not realm.startswith(("https://", "http://")):
        raise ValueError("the registry requires credentials")
    response = _require_mapping(json.loads(_download(f"{realm}?{urlencode(values)}", METADATA_LIMITS.max_bytes)))
    token = response.get("token") or response.get("access_token")
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ValueError("the registry requires credentials")
    return token


def _read_files(archive: bytes) -> ChartFiles:
    """Return the files of a chart archive by their paths in the chart."""
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise ValueError(f"larger than {MAX_ARCHIVE_BYTES // 2**20} MiB")
    with gzip.open(io.BytesIO(archive)) as packed:
        unpacked = io.BytesIO(packed.read(MAX_UNPACKED_BYTES))
    chart_files: dict[str, bytes] = {}
    with tarfile.open(fileobj=unpacked, mode="r:") as files:
        for member in files:
            path = member.name.removeprefix("./").partition("/")[2]
            if member.isfile() and _CHART_FILE.fullmatch(path):
                file = files.extractfile(member)
                chart_files[path] = file.read(MAX_FILE_BYTES) if file is not None else b""
    if "Chart.yaml" not in chart_files:
        raise ValueError("not a chart archive")
    return chart_files


def _download(
    address: str, max_bytes: int = MANIFEST_LIMITS.max_bytes, headers: Mapping[str, str] | None = None
) -> bytes:
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
    request = urllib.request.Request(address)
    for name, value in (headers or {}).items():
        # Not sent after a redirect, because the other host must not get the token.
        request.add_unredirected_header(name, value)
    with opener.open(request, timeout=DOWNLOAD_TIMEOUT_S) as response:
        content: bytes = response.read(max_bytes + 1)
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
    if isinstance(error, LookupError | RecursionError | StopIteration | TypeError):
        return _INVALID
    reason = getattr(error, "reason", None)
    first = (str(reason or error).strip().splitlines() or [type(error).__name__])[0][:200]
    return first if first.isprintable() else "unreadable response"
