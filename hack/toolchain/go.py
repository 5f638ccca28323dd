"""The Go command, as the toolchain runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

MINIMUM = (1, 26)


class GoMissing(Exception):
    """No Go, or one that is too old for the pinned modules."""


def environment() -> dict[str, str]:
    """Pure Go (no C compiler needed), and none of the user's own build flags, which would build something else."""
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


@cache
def version() -> str:
    """The Go release that builds, such as `go1.26.8`.

    Raises:
        GoMissing: there is none on PATH, or it is older than the modules ask for.
    """
    if shutil.which("go") is None:
        raise GoMissing(
            f"go: not on PATH: the toolchain is built from Go modules; install Go {_dotted(MINIMUM)} or later"
        )
    found = subprocess.run(
        ["go", "env", "GOVERSION"], env=environment(), check=True, capture_output=True, text=True
    ).stdout.strip()
    numbers = re.match(r"go(\d+)\.(\d+)", found)
    if numbers and (int(numbers[1]), int(numbers[2])) < MINIMUM:
        raise GoMissing(
            f"go: {found}: the pinned modules need {_dotted(MINIMUM)}; install Go {_dotted(MINIMUM)} or later"
        )
    return found


def module_folder(module: str, *, root: Path, modfile: str) -> Path:
    """Where Go keeps the sources of a module that `root` depends on; they are downloaded if need be."""
    for _ in range(2):
        listed = subprocess.run(
            ["go", "list", f"-modfile={modfile}", "-m", "-f", "{{.Dir}}", module],
            cwd=root,
            env=environment(),
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        if listed:
            return Path(listed)
        subprocess.run(
            ["go", "mod", "download", f"-modfile={modfile}", module],
            cwd=root,
            env=environment(),
            check=True,
            capture_output=True,
        )
    raise GoMissing(f"{module}: {root / modfile}: Go has no sources of it; run `go mod verify` in {root}")


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
