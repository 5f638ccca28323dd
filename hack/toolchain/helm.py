"""Choice of Helm: the user's own if it is recent enough, else the toolchain's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from hack.toolchain.cache import NotInstalledError, installed, root
from hack.toolchain.go import GoMissingError

# The first release whose `helm template` supports lookups in a cluster.
MINIMUM_VERSION = (3, 13)


def find_on_path() -> Path | None:
    """Return the user's own `helm` if it is recent enough."""
    path = shutil.which("helm")
    if path is None or Path(path).is_relative_to(root()):
        return None
    command = [path, "version", "--template", "{{.Version}}"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    numbers = re.match(r"v?(\d+)\.(\d+)\.", output.strip())
    if numbers is None or tuple(map(int, numbers.groups())) < MINIMUM_VERSION:
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
