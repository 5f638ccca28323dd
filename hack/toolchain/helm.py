"""Choice of Helm: the user's own if it is recent enough, else the toolchain's."""

from __future__ import annotations

import shutil
from pathlib import Path

from hack.toolchain.cache import NotInstalledError, installed, root
from hack.toolchain.go import GoMissingError
from mesh.helm_cli import MINIMUM_VERSION, is_recent


def find_on_path() -> Path | None:
    """Return the user's own `helm` if it is recent enough."""
    path = shutil.which("helm")
    if path is None or Path(path).is_relative_to(root()) or not is_recent(path):
        return None
    return Path(path)


def find_program() -> Path:
    """Return the `helm` to use.

    Raises:
        NotInstalledError: no recent Helm is on PATH, and none has been built.
    """
    own = find_on_path()
    if own is not None:
        return own
    try:
        return installed("helm") / "bin/helm"
    except (NotInstalledError, GoMissingError):
        minimum = ".".join(map(str, MINIMUM_VERSION))
        raise NotInstalledError(
            f"helm: no release {minimum} or later is on PATH; install one, or run `make toolchain PARTS=helm`"
        ) from None


def program_folders() -> list[Path]:
    """Return the folder of the toolchain's `helm` if it is built and the user has no recent one."""
    if find_on_path() is not None:
        return []
    try:
        return [installed("helm") / "bin"]
    except (NotInstalledError, GoMissingError):
        return []
