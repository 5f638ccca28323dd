"""Where the programs come from: the toolchain, asked in one place."""

import os
from pathlib import Path

from hack.lab.errors import LabError

LINKERD_RELEASES = ("2.14.10", "2.13.5")
"""Releases whose charts the lab serves where they are installed."""

_OTHERS = ("charts", "cilium")  # parts that have charts beside Linkerd's


def kubernetes() -> Path:
    """The folder with etcd, the Kubernetes programs and kwok (`bin/`) and kwok's stages (`stages/`).

    Raises:
        LabError: the toolchain has not been made.
    """
    folder = _installed("kubernetes")
    if folder is None:
        raise LabError("toolchain: Kubernetes is not installed. Run 'make toolchain' (once, some minutes).")
    return folder


def service_mirror(release: str) -> Path | None:
    """The service mirror of a Linkerd release such as `2.14.10`, or None where that release is not installed."""
    folder = _installed(f"linkerd-{release}")
    program = folder / "bin" / "service-mirror" if folder else None
    return program if program and program.is_file() else None


def chart_folders() -> list[Path]:
    """The chart folders of all installed Linkerd releases, and of what is offered beside them."""
    found = (_installed(part) for part in (*(f"linkerd-{release}" for release in LINKERD_RELEASES), *_OTHERS))
    return [folder / "charts" for folder in found if folder and (folder / "charts").is_dir()]


def own_chart_folders() -> list[Path]:
    """The folders of a person's own chart archives, from `$LAB_CHARTS`.

    Raises:
        LabError: one of them isn't there.
    """
    folders = [
        Path(part).expanduser().absolute() for part in os.environ.get("LAB_CHARTS", "").split(os.pathsep) if part
    ]
    for folder in folders:
        if not folder.is_dir():
            raise LabError(
                f"LAB_CHARTS: {folder}: there is no such folder. Name folders that hold chart archives (*.tgz)."
            )
    return folders


def _installed(part: str) -> Path | None:
    # Late, so that a command that needs no program works without the toolchain package.
    from hack import toolchain

    try:
        return Path(toolchain.installed(part))
    except LookupError:
        return None
