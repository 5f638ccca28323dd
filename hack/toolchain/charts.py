"""Chart archives from source folders; Linkerd's charts are packaged as in its releases."""

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


def package_linkerd_charts(source: Path, *, linkerd_release: str, into: Path) -> None:
    """Write `<chart>-<version>.tgz` of every chart of a Linkerd release, reproducibly."""
    into.mkdir(parents=True, exist_ok=True)
    for chart in CHARTS:
        folder = source / chart
        files = _read_files(folder)
        files["Chart.yaml"] = re.sub(
            rb"(?m)^appVersion: .*$", f"appVersion: stable-{linkerd_release}".encode(), files["Chart.yaml"]
        )
        files["values.yaml"] = files["values.yaml"].replace(PLACEHOLDER, f"stable-{linkerd_release}".encode())
        for name, content in _read_files(source / PARTIALS).items():
            files[f"charts/partials/{name}"] = content
        _write_archive(folder.name, files, into)


def package_chart(folder: Path, *, into: Path) -> None:
    """Write `<chart>-<version>.tgz` of a chart that is complete in its folder, reproducibly."""
    into.mkdir(parents=True, exist_ok=True)
    _write_archive(folder.name, _read_files(folder), into)


def _write_archive(chart: str, files: dict[str, bytes], into: Path) -> None:
    version = re.search(rb'(?m)^version: "?([^"\s]+)"?$', files["Chart.yaml"])
    assert version is not None, f"{chart}/Chart.yaml names no version"
    (into / f"{chart}-{version[1].decode()}.tgz").write_bytes(_pack(chart, files))


def _read_files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOT_PACKAGED
    }


def _pack(chart: str, files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    # The gzip header and the entries have no time, so that the same chart always has the same digest.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{chart}/{name}")
            entry.size = len(content)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
