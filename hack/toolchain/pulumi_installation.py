"""Finds the Pulumi that this machine should use: the user's own where it is recent enough, else the one built here."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from hack.toolchain.cache import installed, root

# The release that the toolchain builds, and the oldest one that the program supports.
MINIMUM = (3, 218, 0)


def on_path() -> Path | None:
    """The user's own `pulumi`, where it is recent enough and has its Python language host beside it."""
    found = shutil.which("pulumi")
    if found is None or shutil.which("pulumi-language-python") is None:
        return None
    if Path(found).is_relative_to(root()):  # in a shell that has evaluated `make env`
        return None
    printed = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", printed.strip())
    if numbers is None or tuple(map(int, numbers.groups())) < MINIMUM:
        return None
    return Path(found)


def programs() -> list[Path]:
    """The folders to put on PATH for Pulumi to be found: none where the user's own is used.

    Raises:
        NotInstalled: there is no Pulumi on PATH, and none has been built.
    """
    if on_path() is not None:
        return []
    return [installed("engine") / "bin"]


def link_plugins(home: Path) -> None:
    """Make the plugins that were built here the installed ones of a PULUMI_HOME; others may do the same meanwhile."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as fresh:
        for plugin in (installed("engine") / "plugins").iterdir():
            # The engine passes over a plugin's folder that is itself a link.
            folder = home / "plugins" / plugin.name
            folder.mkdir(parents=True, exist_ok=True)
            for program in plugin.iterdir():
                link = folder / program.name
                if link.exists() and link.resolve() == program:
                    continue
                made = Path(fresh) / program.name
                made.symlink_to(program)
                made.replace(link)
