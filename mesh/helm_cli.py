"""The user's Helm, which renders charts for reviews."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

# The first release whose `helm template` supports lookups in a cluster.
MINIMUM_VERSION = (3, 13)


class HelmNotInstalledError(Exception):
    """No recent Helm is on PATH."""


def find_helm(search_path: str | None = None) -> Path:
    """Return the `helm` on PATH.

    Args:
        search_path: value of PATH; None: that of this process.

    Raises:
        HelmNotInstalledError: PATH has no Helm, or one that is too old.
    """
    minimum = ".".join(map(str, MINIMUM_VERSION))
    program = shutil.which("helm", path=search_path)
    if program is None:
        raise HelmNotInstalledError(f"helm: not on PATH; install Helm {minimum} or later")
    if not is_recent(program):
        raise HelmNotInstalledError(f"helm: {program}: older than {minimum}; install Helm {minimum} or later")
    return Path(program)


def is_recent(program: str) -> bool:
    """Return whether a `helm` has at least the minimum version."""
    command = [program, "version", "--template", "{{.Version}}"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    numbers = re.match(r"v?(\d+)\.(\d+)\.", output.strip())
    return numbers is not None and tuple(map(int, numbers.groups())) >= MINIMUM_VERSION
