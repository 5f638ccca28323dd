"""Finds the Helm that this machine should use: the user's own where it is recent enough, else the one built here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from hack.toolchain.cache import NotInstalled, installed, root
from hack.toolchain.go import GoMissing

# The first whose `template` can ask a cluster for what templates look up.
MINIMUM = (3, 13)


def on_path() -> Path | None:
    """The user's own `helm`, where it is recent enough."""
    found = shutil.which("helm")
    if found is None or Path(found).is_relative_to(root()):
        return None
    command = [found, "version", "--template", "{{.Version}}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    numbers = re.match(r"v?(\d+)\.(\d+)\.", printed.strip())
    if numbers is None or tuple(map(int, numbers.groups())) < MINIMUM:
        return None
    return Path(found)


def program() -> Path:
    """The `helm` to use.

    Raises:
        NotInstalled: there is none on PATH that is recent enough, and none has been built.
    """
    own = on_path()
    if own is not None:
        return own
    try:
        return installed("helm") / "bin/helm"
    except (NotInstalled, GoMissing):
        least = ".".join(map(str, MINIMUM))
        raise NotInstalled(
            f"helm: none of {least} or later is on PATH; install it, or run `make toolchain PARTS=helm`"
        ) from None
