"""Requirements of the data plane: Linkerd's programs, the system's programs, and permissions."""

import os
from pathlib import Path

from hack.lab import programs
from hack.lab.dataplane import namespaces
from hack.lab.dataplane.images import LINKERD_PROGRAMS
from hack.lab.errors import LabError

VARIABLE = "LAB_DATAPLANE"

_DEBIAN_PACKAGES = {
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


def read_named_folders() -> list[Path]:
    """Return the folders with Linkerd's programs from `$LAB_DATAPLANE`; none if the lab has no data plane.

    Raises:
        LabError: see `check_folders`.
    """
    return check_folders(os.environ.get(VARIABLE, ""))


def check_folders(value: str) -> list[Path]:
    """Return the folders in the variable's value, after a check that the data plane can run here.

    Raises:
        LabError: a folder, a program or a permission is missing.
    """
    folders = [Path(part).expanduser().absolute() for part in value.split(os.pathsep) if part]
    for folder in folders:
        check_folder(folder)
    if folders:
        _check_machine()
        programs.find_kube_proxy()
        programs.find_kubelet()
    return folders


def check_folder(folder: Path) -> None:
    """Check that a folder contains all programs.

    Raises:
        LabError: the folder or a program is missing.
    """
    names = ", ".join(LINKERD_PROGRAMS)
    if not folder.is_dir():
        raise LabError(f"{VARIABLE}: {folder}: no such folder; name a folder that contains {names} (docs/lab.md)")
    for name in LINKERD_PROGRAMS:
        program = folder / name
        if not program.is_file():
            raise LabError(f"{VARIABLE}: {program}: no such file; copy Linkerd's program there (docs/lab.md)")
        if not os.access(program, os.X_OK):
            raise LabError(f"{VARIABLE}: {program}: not executable; run 'chmod +x {program}'")


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise LabError(f"{VARIABLE}: the data plane creates network namespaces; start the lab as root, or unset it")
    os.close(namespaces.open_network())
    for name, package in _DEBIAN_PACKAGES.items():
        try:
            namespaces.find_program(name)
        except LabError as error:
            raise LabError(
                f"{VARIABLE}: {name}: no such program; install it, on Debian with 'apt-get install {package}'"
            ) from error
