"""Chart repository of the lab: chart archives from several folders, and the index for Helm.

https://helm.sh/docs/topics/chart_repository/
"""

import datetime
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hack.lab import web
from mesh.chart_repository import ChartRepositoryError, read_chart_metadata

_log = logging.getLogger(__name__)
_entry_cache: dict[tuple[Path, int, int], dict[str, Any] | None] = {}


def list_archives(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the chart archives of several folders by file name; an earlier folder takes precedence."""
    paths: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.tgz")):
            paths.setdefault(path.name, path)
    return paths


def build_index(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the repository's index: every chart with its versions, digests and relative URLs."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for path in list_archives(folders).values():
        if entry := _cached_entry(path):
            versions = entries.setdefault(str(entry["name"]), [])
            if entry["version"] not in [known["version"] for known in versions]:
                versions.append(entry)
    return {"apiVersion": "v1", "entries": entries, "generated": _format_timestamp(0)}


def create_handler(folders: Callable[[], Sequence[Path]]) -> web.RequestHandler:
    """Return the request handler of the repository; it lists the folders again for each request."""

    async def answer(request: web.HttpRequest) -> web.HttpResponse:
        name = request.target.partition("?")[0].lstrip("/")
        if request.method not in ("GET", "HEAD"):
            return web.HttpResponse(status=405)
        if name == "index.yaml":
            # JSON is valid YAML, and both sides process it fastest.
            body = json.dumps(build_index(folders()), default=str).encode()
            return web.HttpResponse(status=200, body=body, media_type="application/yaml")
        path = list_archives(folders()).get(name)
        if path is None:
            return web.HttpResponse(status=404, body=f"{name}: not in this repository\n".encode())
        return web.HttpResponse(status=200, body=path.read_bytes(), media_type="application/gzip")

    return answer


def _cached_entry(path: Path) -> dict[str, Any] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _entry_cache:
        _entry_cache[key] = _read_entry(path, stat.st_mtime)
    return _entry_cache[key]


def _read_entry(path: Path, modified: float) -> dict[str, Any] | None:
    try:
        entry = read_chart_metadata(path)
        entry.pop("annotations", None)  # large, and Helm reads them from the chart
        entry["name"], entry["version"] = str(entry["name"]), str(entry["version"])
    except (ChartRepositoryError, KeyError) as error:
        _log.warning("%s: not a chart archive (%r); left out of the repository", path, error)
        return None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {**entry, "urls": [path.name], "digest": digest, "created": _format_timestamp(modified)}


def _format_timestamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
