"""Reads of files that a user specifies, with a size limit."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

# Larger than any real stack file, kubeconfig or certificate.
DEFAULT_MAX_BYTES = 16 * 2**20


def read_regular_file(path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """Return the content of a regular file; reject pipes and devices, which may be empty or endless at the next read.

    Args:
        path: the file; `/dev/null` is read as an empty file.
        max_bytes: maximum size of the file.

    Raises:
        OSError: the file cannot be read, is not a regular file, or is too large; `strerror` is the reason.
        ValueError: the name is not valid for a file.
    """
    if path.exists() and not path.is_dir() and not path.is_file() and not path.samefile(os.devnull):
        raise OSError(errno.EINVAL, "not a file", str(path))
    return read_file_or_pipe(path, max_bytes)


def read_file_or_pipe(path: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """Return the content of a file or a pipe.

    Raises:
        OSError: the file cannot be read, or is too large; `strerror` is the reason.
        ValueError: the name is not valid for a file.
    """
    with path.open("rb") as file:
        return read_bounded(file, max_bytes)


def read_bounded(file: BinaryIO, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """Return the content of an open file.

    Raises:
        OSError: the file cannot be read, or is too large; `strerror` is the reason.
    """
    content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes // 2**20} MiB")
    return content
