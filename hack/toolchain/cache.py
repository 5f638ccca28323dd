"""Cache of built artifacts: a folder outside the repository, with one folder per artifact and key."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.toolchain import go
from hack.toolchain.artifacts import ARTIFACTS


class NotInstalledError(LookupError):
    """An artifact has not been built on this machine."""


def root() -> Path:
    """Return `$XDG_CACHE_HOME/multicluster-mesh/toolchain`; the default of the variable is `~/.cache`."""
    caches = os.environ.get("XDG_CACHE_HOME")
    return Path(caches or Path.home() / ".cache") / "multicluster-mesh" / "toolchain"


def folder(name: str) -> Path:
    """Return the folder of one artifact as it is pinned now, built or not.

    Raises:
        NotInstalledError: there is no such artifact.
    """
    try:
        artifact = ARTIFACTS[name]
    except KeyError:
        raise NotInstalledError(f"{name}: no such artifact; name one of {', '.join(ARTIFACTS)}") from None
    return root() / f"{name}-{artifact.key(go.read_version())}"


def installed(name: str) -> Path:
    """Return the folder of one built artifact, with its programs in `bin/`.

    Raises:
        NotInstalledError: the artifact has not been built on this machine.
    """
    path = folder(name)
    if not path.is_dir():
        raise NotInstalledError(f"{name}: not built on this machine; run `make toolchain PARTS={name}`")
    return path


def remove_unfinished() -> None:
    """Remove the folders that killed builds have left; the caller holds the lock."""
    for staging in root().glob(".*-*"):
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def lock(waiting: str) -> Iterator[None]:
    """Hold the build lock; print `waiting` if another process holds it."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, flush=True)
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(1)
        yield
