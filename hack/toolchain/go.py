"""The Go command: its environment, its version and its modules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

MINIMUM_VERSION = (1, 26)


class GoMissingError(Exception):
    """Go is missing, is too old, or lacks the sources of a module."""


def go_environment() -> dict[str, str]:
    """Return an environment for builds without a C compiler and without the user's own build flags."""
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


@cache
def read_version() -> str:
    """Return the release of Go, such as `go1.26.8`.

    Raises:
        GoMissingError: there is no Go on PATH, or it is older than the modules require.
    """
    minimum = ".".join(map(str, MINIMUM_VERSION))
    if shutil.which("go") is None:
        raise GoMissingError(
            f"go: not on PATH, but the toolchain is built from Go modules; install Go {minimum} or later"
        )
    go_version = subprocess.run(
        ["go", "env", "GOVERSION"], env=go_environment(), check=True, capture_output=True, text=True
    ).stdout.strip()
    numbers = re.match(r"go(\d+)\.(\d+)", go_version)
    if numbers and (int(numbers[1]), int(numbers[2])) < MINIMUM_VERSION:
        raise GoMissingError(f"go: {go_version}: too old for the pinned modules; install Go {minimum} or later")
    return go_version


def find_module_folder(module: str, *, root: Path, modfile: str) -> Path:
    """Return the source folder of a module that `root` depends on; download the module if necessary.

    Raises:
        GoMissingError: Go has no sources of the module.
    """
    for _ in range(2):
        folder = subprocess.run(
            ["go", "list", f"-modfile={modfile}", "-m", "-f", "{{.Dir}}", module],
            cwd=root,
            env=go_environment(),
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        if folder:
            return Path(folder)
        subprocess.run(
            ["go", "mod", "download", f"-modfile={modfile}", module],
            cwd=root,
            env=go_environment(),
            check=True,
            capture_output=True,
        )
    raise GoMissingError(f"{module}: {root / modfile}: Go has no sources of it; run `go mod verify` in {root}")
