"""Linkerd's own programs: of releases that the toolchain has, and of others from folders that a person names."""

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

# Since then mirrors read Links of v1alpha3, and are told the name of their probe's Service.
_LINKS_CHANGED = (25, 3, 3)
_STABLE = re.compile(r"2\.(\d|1[0-4])\.\d+")
_EDGE = re.compile(r"edge-(\d+)\.(\d+)\.(\d+)")
_CLI_VERSION = ("version", "--client", "--short")
UNDEFINED = "dev-undefined"  # what a program says that was built without a version, as the controller of an image is
_PATIENCE = 20.0  # seconds for a program to say what it is
_REMEDY = f"Name folders that have Linkerd's '{CLI}' and '{CONTROLLER}' in them (docs/lab.md)."
_told: dict[tuple[Path, int, int], str] = {}


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program of Linkerd, with the arguments that make it what is wanted."""

    path: Path
    release: str  # such as 2.14.10 or edge-26.8.3
    arguments: tuple[str, ...] = ()


def named_folders() -> list[Path]:
    """The folders with a person's own builds of Linkerd, from `$LAB_LINKERD`.

    Raises:
        LabError: one of them isn't there, lacks a program, or has one that doesn't run here.
    """
    found = [Path(part).expanduser().absolute() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    for folder in found:
        if not folder.is_dir():
            raise LabError(f"{VARIABLE}: {folder}: there is no such folder. {_REMEDY}")
        for name in (CLI, CONTROLLER):
            _refuse_unusable(folder / name)
        release(folder)
    return found


def folders(home: StateDir) -> list[Path]:
    """Those folders, and those that the running lab was started with.

    Raises:
        LabError: see `named_folders`.
    """
    return list(dict.fromkeys((*named_folders(), *map(Path, spec.load(home).linkerd_folders))))


def release(folder: Path) -> str:
    """What the programs in a folder say that they are, such as `edge-26.8.3`, or that they are of none.

    Raises:
        LabError: neither says anything, or each something else.
    """
    said = {_said(folder / CONTROLLER, "service-mirror", "-version"), _said(folder / CLI, *_CLI_VERSION)} - {""}
    if len(said) > 1:
        said -= {UNDEFINED}
    if not said:
        raise LabError(
            f"{VARIABLE}: {folder}: neither '{CLI} {' '.join(_CLI_VERSION)}' nor '{CONTROLLER} service-mirror "
            "-version' says what it is. Are they Linkerd's, and for this machine (docs/lab.md)?"
        )
    if len(said) > 1:
        raise LabError(
            f"{VARIABLE}: {folder}: '{CLI}' and '{CONTROLLER}' are of different releases, "
            f"{' and '.join(sorted(said))}. Give each release a folder of its own."
        )
    return said.pop()


def number(release: str) -> tuple[int, ...]:
    """The numbers by which edge releases are in order; none of any other release."""
    match = _EDGE.fullmatch(release)
    return tuple(map(int, match.groups())) if match else ()


def newest(folders: Sequence[Path]) -> Path | None:
    """The folder with the newest release."""
    return max(folders, key=lambda folder: number(release(folder)), default=None)


def cli(wanted: str, folders: Sequence[Path]) -> Program:
    """The CLI for a release that the toolchain doesn't have: its own, or else the newest of the named folders.

    Raises:
        LabError: no folders are named.
    """
    chosen = _exact(wanted, folders) or newest(folders)
    if chosen is None:
        raise LabError(
            f"Linkerd {wanted}: the toolchain has no such release. Name a folder with its programs '{CLI}' and "
            f"'{CONTROLLER}': {VARIABLE}=<folder> (docs/lab.md)."
        )
    return Program(path=chosen / CLI, release=release(chosen))


def service_mirror(wanted: str, folders: Sequence[Path]) -> Program | None:
    """The service mirror for the pods of a release.

    Where the toolchain doesn't have it, it is in the named folders: of the same release, or else of the newest one
    that reads the same version of Links. None where there is none.
    """
    if own := programs.service_mirror(wanted):
        return Program(path=own, release=wanted)
    alike = [folder for folder in folders if _reads_same_links(wanted, release(folder))]
    chosen = _exact(wanted, folders) or newest(alike)
    if chosen is None:
        return None
    return Program(path=chosen / CONTROLLER, release=release(chosen), arguments=("service-mirror",))


def _exact(wanted: str, folders: Sequence[Path]) -> Path | None:
    return next((folder for folder in folders if release(folder) == wanted), None)


def _reads_same_links(one: str, other: str) -> bool:
    """Whether mirrors of two releases read Links alike; what isn't known is taken for later than all that is."""
    # A stable release is like nothing else.
    return not any(map(_STABLE.fullmatch, (one, other))) and _reads_newer_links(one) == _reads_newer_links(other)


def _reads_newer_links(release: str) -> bool:
    found = number(release)
    return not found or found >= _LINKS_CHANGED


def _refuse_unusable(program: Path) -> None:
    if not program.is_file():
        raise LabError(f"{VARIABLE}: {program}: there is no such program. {_REMEDY}")
    if not os.access(program, os.X_OK):
        raise LabError(f"{VARIABLE}: {program}: not executable. Run 'chmod +x {program}'.")


def _said(program: Path, *arguments: str) -> str:
    """What a program says of its release, or nothing; asked once as long as the file is the same."""
    try:
        stat = program.stat()
        key = (program, stat.st_mtime_ns, stat.st_size)
        if key not in _told:
            ended = subprocess.run(
                [str(program), *arguments], env={}, capture_output=True, text=True, timeout=_PATIENCE, check=False
            )
            _told[key] = ended.stdout.strip().removeprefix("stable-") if ended.returncode == 0 else ""
        return _told[key]
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
