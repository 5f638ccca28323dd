"""Linkerd's own programs, from the toolchain or from the folders in `$LAB_LINKERD`."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.lab import programs, spec
from hack.lab.errors import LabError
from hack.lab.state_dir import StateDir

CLI, CONTROLLER = "linkerd", "controller"
VARIABLE = "LAB_LINKERD"

# Since this edge release mirrors read Links of v1alpha3, and get the name of the probe's Service as an argument.
_LINKS_V1ALPHA3_SINCE = (25, 3, 3)
_STABLE = re.compile(r"2\.(\d|1[0-4])\.\d+")
_EDGE = re.compile(r"edge-(\d+)\.(\d+)\.(\d+)")
_CLI_VERSION = ("version", "--client", "--short")
UNDEFINED_VERSION = "dev-undefined"  # a program built without a version, such as the controller in an image
_VERSION_TIMEOUT_S = 20.0
_REMEDY = f"name folders that contain Linkerd's '{CLI}' and '{CONTROLLER}' (docs/lab.md)"
_version_cache: dict[tuple[Path, int, int], str] = {}


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program of Linkerd, and the arguments that select a command."""

    path: Path
    release: str  # such as 2.14.10 or edge-26.8.3
    arguments: tuple[str, ...] = ()


def read_named_folders() -> list[Path]:
    """Return the folders with the user's own builds of Linkerd, from `$LAB_LINKERD`.

    Raises:
        LabError: a folder is missing or lacks a program, or a program does not run here.
    """
    folders = [Path(part).expanduser().absolute() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    for folder in folders:
        if not folder.is_dir():
            raise LabError(f"{VARIABLE}: {folder}: no such folder; {_REMEDY}")
        for name in (CLI, CONTROLLER):
            _require_executable(folder / name)
        read_release(folder)
    return folders


def list_folders(state_dir: StateDir) -> list[Path]:
    """Return the folders in `$LAB_LINKERD`, and the folders that the running lab was started with.

    Raises:
        LabError: see `read_named_folders`.
    """
    return list(dict.fromkeys((*read_named_folders(), *map(Path, spec.load(state_dir).linkerd_folders))))


def read_release(folder: Path) -> str:
    """Return the release of the programs in a folder, such as `edge-26.8.3`, or `dev-undefined`.

    Raises:
        LabError: no program prints a version, or the programs are of different releases.
    """
    versions = {
        _read_version(folder / CONTROLLER, "service-mirror", "-version"),
        _read_version(folder / CLI, *_CLI_VERSION),
    } - {""}
    if len(versions) > 1:
        versions -= {UNDEFINED_VERSION}
    if not versions:
        raise LabError(
            f"{VARIABLE}: {folder}: neither '{CLI} {' '.join(_CLI_VERSION)}' nor '{CONTROLLER} service-mirror "
            "-version' prints a version; replace them by Linkerd's programs for this machine (docs/lab.md)"
        )
    if len(versions) > 1:
        raise LabError(
            f"{VARIABLE}: {folder}: '{CLI}' and '{CONTROLLER}' are of different releases, "
            f"{' and '.join(sorted(versions))}; put each release into its own folder"
        )
    return versions.pop()


def edge_number(linkerd_release: str) -> tuple[int, ...]:
    """Return the numbers that order edge releases, or no numbers for any other release."""
    match = _EDGE.fullmatch(linkerd_release)
    return tuple(map(int, match.groups())) if match else ()


def find_newest(folders: Sequence[Path]) -> Path | None:
    """Return the folder with the newest release, or None without folders."""
    return max(folders, key=lambda folder: edge_number(read_release(folder)), default=None)


def find_cli(linkerd_release: str, folders: Sequence[Path]) -> Program:
    """Return the CLI for a release that the toolchain does not have.

    The CLI is of the same release, or else of the newest release in the folders.

    Raises:
        LabError: there are no folders.
    """
    folder = _find_exact(linkerd_release, folders) or find_newest(folders)
    if folder is None:
        raise LabError(
            f"Linkerd {linkerd_release}: the toolchain has no such release; set {VARIABLE} to a folder with its "
            f"programs '{CLI}' and '{CONTROLLER}' (docs/lab.md), or linkerd.version in the stack file to "
            f'"{programs.LAB_LINKERD_VERSION}"'
        )
    return Program(path=folder / CLI, release=read_release(folder))


def find_service_mirror(linkerd_release: str, folders: Sequence[Path]) -> Program | None:
    """Return the service mirror for the pods of a release, or None if there is none.

    The toolchain's program has priority over the folders. From the folders, the program is of the same release, or
    else of the newest release that reads the same version of Links.
    """
    if own := programs.find_service_mirror(linkerd_release):
        return Program(path=own, release=linkerd_release)
    compatible = [folder for folder in folders if _reads_same_links(linkerd_release, read_release(folder))]
    folder = _find_exact(linkerd_release, folders) or find_newest(compatible)
    if folder is None:
        return None
    return Program(path=folder / CONTROLLER, release=read_release(folder), arguments=("service-mirror",))


def _find_exact(linkerd_release: str, folders: Sequence[Path]) -> Path | None:
    return next((folder for folder in folders if read_release(folder) == linkerd_release), None)


def _reads_same_links(one: str, other: str) -> bool:
    """Return whether mirrors of two releases read the same version of Links; unknown releases count as new ones."""
    # A stable release reads Links of its own version only.
    return not any(map(_STABLE.fullmatch, (one, other))) and _reads_newer_links(one) == _reads_newer_links(other)


def _reads_newer_links(linkerd_release: str) -> bool:
    numbers = edge_number(linkerd_release)
    return not numbers or numbers >= _LINKS_V1ALPHA3_SINCE


def _require_executable(program: Path) -> None:
    if not program.is_file():
        raise LabError(f"{VARIABLE}: {program}: no such program; {_REMEDY}")
    if not os.access(program, os.X_OK):
        raise LabError(f"{VARIABLE}: {program}: not executable; run 'chmod +x {program}'")


def _read_version(program: Path, *arguments: str) -> str:
    """Return the version that a program prints, or an empty string; cached until the file changes."""
    try:
        stat = program.stat()
        key = (program, stat.st_mtime_ns, stat.st_size)
        if key not in _version_cache:
            process = subprocess.run(
                [str(program), *arguments],
                env={},
                capture_output=True,
                text=True,
                timeout=_VERSION_TIMEOUT_S,
                check=False,
            )
            _version_cache[key] = process.stdout.strip().removeprefix("stable-") if process.returncode == 0 else ""
        return _version_cache[key]
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
