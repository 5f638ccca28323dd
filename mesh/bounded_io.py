"""Files that somebody names: read to their end, if that comes soon enough."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

# Bytes of a stack file, a kubeconfig or a certificate: more than there ever are.
DEFAULT_MAX_BYTES = 16 * 2**20


def read_regular_file(path: Path, largest: int = DEFAULT_MAX_BYTES) -> bytes:
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
    return read_file_or_pipe(path, largest)


def read_file_or_pipe(path: Path, largest: int = DEFAULT_MAX_BYTES) -> bytes:
    """The same of a file that may be a pipe.

    Raises:
        OSError: it can't be read, or is too large; `strerror` says which.
        ValueError: no file can have that name.
    """
    with path.open("rb") as file:
        return read_bounded(file, largest)


def read_bounded(file: BinaryIO, largest: int = DEFAULT_MAX_BYTES) -> bytes:
    """The same of a file that is open.

    Raises:
        OSError: it can't be read, or is too large; `strerror` says which.
    """
    found = file.read(largest + 1)
    if len(found) > largest:
        raise OSError(errno.EFBIG, f"larger than {largest // 2**20} MiB")
    return found
