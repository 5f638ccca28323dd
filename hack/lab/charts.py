"""The lab's chart repository: archives from some folders, with the index that Helm asks for.

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
_seen: dict[tuple[Path, int, int], dict[str, Any] | None] = {}


def archives(folders: Sequence[Path]) -> dict[str, Path]:
    """The chart archives of some folders by file name; the first folder that has a name wins."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.tgz")):
            found.setdefault(path.name, path)
    return found


def index(folders: Sequence[Path]) -> dict[str, Any]:
    """The repository's index: every chart with its versions, digests and addresses relative to the index."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for path in archives(folders).values():
        if entry := _entry(path):
            versions = entries.setdefault(str(entry["name"]), [])
            if entry["version"] not in [known["version"] for known in versions]:
                versions.append(entry)
    return {"apiVersion": "v1", "entries": entries, "generated": _timestamp(0)}


def answering(folders: Callable[[], Sequence[Path]]) -> web.Answer:
    """What the repository's server answers; folders are looked at anew for each request."""

    async def answer(request: web.Request) -> web.Response:
        name = request.target.partition("?")[0].lstrip("/")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405)
        if name == "index.yaml":
            # JSON is YAML, and what both sides are quickest with.
            body = json.dumps(index(folders()), default=str).encode()
            return web.Response(status=200, body=body, media_type="application/yaml")
        path = archives(folders()).get(name)
        if path is None:
            return web.Response(status=404, body=f"{name}: not in this repository\n".encode())
        return web.Response(status=200, body=path.read_bytes(), media_type="application/gzip")

    return answer


def _entry(path: Path) -> dict[str, Any] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _seen:
        _seen[key] = _read(path, stat.st_mtime)
    return _seen[key]


def _read(path: Path, modified: float) -> dict[str, Any] | None:
    try:
        entry = read_chart_metadata(path)
        entry.pop("annotations", None)  # pages of them for a hub's web page, which Helm takes from the chart
        entry["name"], entry["version"] = str(entry["name"]), str(entry["version"])
    except (ChartRepositoryError, KeyError) as error:
        _log.warning("%s: not a chart archive (%r); left out of the repository", path, error)
        return None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {**entry, "urls": [path.name], "digest": digest, "created": _timestamp(modified)}


def _timestamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()
