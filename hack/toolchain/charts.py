"""Packages charts from their folders: any chart, and Linkerd's the way its release does."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from pathlib import Path

CHARTS = (
    "charts/linkerd-crds",
    "charts/linkerd-control-plane",
    "charts/linkerd2-cni",
    "multicluster/charts/linkerd-multicluster",
    "viz/charts/linkerd-viz",
    "jaeger/charts/linkerd-jaeger",
)
PARTIALS = "charts/partials"
PLACEHOLDER = b"linkerdVersionValue"
NOT_PACKAGED = {"README.md.gotmpl", ".helmignore"}


def package(source: Path, *, release: str, into: Path) -> None:
    """Write `<chart>-<version>.tgz` of every chart of a Linkerd release, byte for byte the same each time."""
    into.mkdir(parents=True, exist_ok=True)
    for chart in CHARTS:
        folder = source / chart
        files = _files(folder)
        files["Chart.yaml"] = re.sub(
            rb"(?m)^appVersion: .*$", f"appVersion: stable-{release}".encode(), files["Chart.yaml"]
        )
        files["values.yaml"] = files["values.yaml"].replace(PLACEHOLDER, f"stable-{release}".encode())
        for name, content in _files(source / PARTIALS).items():
            files[f"charts/partials/{name}"] = content
        _write(folder.name, files, into)


def archive(folder: Path, *, into: Path) -> None:
    """Write `<chart>-<version>.tgz` of a chart that is complete in its folder, byte for byte the same each time."""
    into.mkdir(parents=True, exist_ok=True)
    _write(folder.name, _files(folder), into)


def _write(chart: str, files: dict[str, bytes], into: Path) -> None:
    version = re.search(rb'(?m)^version: "?([^"\s]+)"?$', files["Chart.yaml"])
    assert version is not None, f"{chart}/Chart.yaml names no version"
    (into / f"{chart}-{version[1].decode()}.tgz").write_bytes(_packed(chart, files))


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOT_PACKAGED
    }


def _packed(chart: str, files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    # A gzip header without a time, and entries without one, so that the same chart always has the same digest.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{chart}/{name}")
            entry.size = len(content)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
