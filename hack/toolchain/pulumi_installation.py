"""Choice of Pulumi: the user's own if it is recent enough, else the toolchain's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from hack.toolchain.cache import installed, root

# The wrapper of `pulumi` in a shell that has evaluated `make env`.
_WRAPPER_FOLDER = Path(__file__).resolve().parents[1] / "make/bin"
# The oldest release that the program supports; the toolchain builds the same one.
MINIMUM_VERSION = (3, 218, 0)


def find_on_path() -> Path | None:
    """Return the user's own `pulumi` if it is recent enough and its Python language host is on PATH."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    without_wrapper = [folder for folder in folders if folder and Path(folder).resolve() != _WRAPPER_FOLDER]
    path = shutil.which("pulumi", path=os.pathsep.join(without_wrapper))
    if path is None or shutil.which("pulumi-language-python") is None:
        return None
    if Path(path).is_relative_to(root()):  # in a shell that has evaluated `make env`
        return None
    output = subprocess.run([path, "version"], capture_output=True, text=True, check=False).stdout
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", output.strip())
    if numbers is None or tuple(map(int, numbers.groups())) < MINIMUM_VERSION:
        return None
    return Path(path)


def program_folders() -> list[Path]:
    """Return the folders to add to PATH for the toolchain's Pulumi; none if the user's own is used.

    Raises:
        NotInstalledError: no suitable Pulumi is on PATH, and none has been built.
    """
    if find_on_path() is not None:
        return []
    return [installed("engine") / "bin"]


def link_plugins(home: Path) -> None:
    """Install links to the toolchain's plugins in a PULUMI_HOME; concurrent calls are safe."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as staging:
        for plugin in (installed("engine") / "plugins").iterdir():
            # The engine ignores a plugin folder that is itself a link.
            folder = home / "plugins" / plugin.name
            folder.mkdir(parents=True, exist_ok=True)
            for program in plugin.iterdir():
                link = folder / program.name
                if link.exists() and link.resolve() == program:
                    continue
                new_link = Path(staging) / program.name
                new_link.symlink_to(program)
                new_link.replace(link)
