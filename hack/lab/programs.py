"""Programs and charts of the lab, from the toolchain."""

import os
from pathlib import Path

from hack.lab.errors import LabError

LINKERD_RELEASES = ("2.14.10", "2.13.5")
"""Releases whose charts the lab serves if they are installed, newest first."""
LAB_LINKERD_VERSION = LINKERD_RELEASES[0]
"""Release of the lab's own stacks, because the toolchain has no later one. Their stack files name it."""

_CHART_ARTIFACTS = ("charts", "cilium")  # artifacts with charts other than Linkerd's


def find_kubernetes_folder() -> Path:
    """Return the folder with etcd, the Kubernetes programs and kwok (`bin/`), and kwok's stages (`stages/`).

    Raises:
        LabError: the toolchain has not been built.
    """
    folder = _find_installed("kubernetes")
    if folder is None:
        raise LabError("toolchain: Kubernetes is not built on this machine; run 'make toolchain' (once, some minutes)")
    return folder


def find_service_mirror(linkerd_release: str) -> Path | None:
    """Return the service mirror of a Linkerd release such as `2.14.10`, or None if the release is not installed."""
    folder = _find_installed(f"linkerd-{linkerd_release}")
    program = folder / "bin" / "service-mirror" if folder else None
    return program if program and program.is_file() else None


def find_kube_proxy() -> Path:
    """Return kube-proxy, which only the data plane needs; raises as `find_kubelet` does."""
    return _find_dataplane_program("kube-proxy")


def find_kubelet() -> Path:
    """Return the server of `kubectl exec`, port-forward and logs, which only the data plane needs.

    Raises:
        LabError: the toolchain has not built it.
    """
    return _find_dataplane_program("kubelet")


def _find_dataplane_program(artifact: str) -> Path:
    folder = _find_installed(artifact)
    if folder is None:
        raise LabError(f"toolchain: {artifact} is not built on this machine; run 'make toolchain PARTS={artifact}'")
    return folder / "bin" / artifact


def list_chart_folders() -> list[Path]:
    """Return the chart folders of all installed Linkerd releases and of the other charts."""
    names = (*(f"linkerd-{linkerd_release}" for linkerd_release in LINKERD_RELEASES), *_CHART_ARTIFACTS)
    folders = map(_find_installed, names)
    return [folder / "charts" for folder in folders if folder and (folder / "charts").is_dir()]


def read_own_chart_folders() -> list[Path]:
    """Return the folders with the user's own chart archives, from `$LAB_CHARTS`.

    Raises:
        LabError: a folder is missing.
    """
    folders = [
        Path(part).expanduser().absolute() for part in os.environ.get("LAB_CHARTS", "").split(os.pathsep) if part
    ]
    for folder in folders:
        if not folder.is_dir():
            raise LabError(f"LAB_CHARTS: {folder}: no such folder; name folders that contain chart archives (*.tgz)")
    return folders


def _find_installed(artifact: str) -> Path | None:
    # A late import, so that commands that need no program work without the toolchain package.
    from hack import toolchain

    try:
        return Path(toolchain.installed(artifact))
    except LookupError:
        return None
