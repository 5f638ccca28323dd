"""Where built parts are kept: a cache folder outside the repository, one folder per part and key."""

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


class NotInstalled(LookupError):
    """A part that has not been built on this machine."""


def root() -> Path:
    """`$XDG_CACHE_HOME/multicluster-mesh/toolchain`, with the usual default."""
    caches = os.environ.get("XDG_CACHE_HOME")
    return Path(caches or Path.home() / ".cache") / "multicluster-mesh" / "toolchain"


def folder(name: str) -> Path:
    """The folder of one part as it is pinned now, built or not.

    Raises:
        NotInstalled: there is no such part.
    """
    try:
        part = ARTIFACTS[name]
    except KeyError:
        raise NotInstalled(f"{name}: no part of the toolchain; known are {', '.join(ARTIFACTS)}") from None
    return root() / f"{name}-{part.key(go.version())}"


def installed(name: str) -> Path:
    """The folder of one built part: programs in `bin/`, and what else it has beside them.

    Raises:
        NotInstalled: it has not been built here.
    """
    path = folder(name)
    if not path.is_dir():
        raise NotInstalled(f"{name}: not built on this machine; run `make toolchain PARTS={name}`")
    return path


def remove_unfinished() -> None:
    """Remove what builds that were killed have left; only for who holds the lock."""
    for staging in root().glob(".*-*"):
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def lock(waiting: str) -> Iterator[None]:
    """Let one process at a time build; `waiting` is printed when another one is at it."""
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
