"""Files that somebody names: read to their end, if that comes soon enough."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

# Bytes of a stack file, a kubeconfig or a certificate: more than there ever are.
USUAL = 16 * 2**20


def content(path: Path, largest: int = USUAL) -> bytes:
    """What is in a file that stays: a pipe or a device may be empty the next time, and may have no end.

    Args:
        path: of the file; `/dev/null` is an empty one.
        largest: bytes that it may have.

    Raises:
        OSError: it can't be read, is no file, or is too large; `strerror` says which.
        ValueError: no file can have that name.
    """
    if path.exists() and not path.is_dir() and not path.is_file() and not path.samefile(os.devnull):
        raise OSError(errno.EINVAL, "not a file", str(path))
    return piped(path, largest)


def piped(path: Path, largest: int = USUAL) -> bytes:
    """The same of a file that may be a pipe.

    Raises:
        OSError: it can't be read, or is too large; `strerror` says which.
        ValueError: no file can have that name.
    """
    with path.open("rb") as file:
        return read(file, largest)


def read(file: BinaryIO, largest: int = USUAL) -> bytes:
    """The same of a file that is open.

    Raises:
        OSError: it can't be read, or is too large; `strerror` says which.
    """
    found = file.read(largest + 1)
    if len(found) > largest:
        raise OSError(errno.EFBIG, f"larger than {largest // 2**20} MiB")
    return found
