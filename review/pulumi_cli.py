"""Pulumi, run for a review: never asked anything, and what it prints is kept."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping


class PreviewFailed(Exception):
    """There is no preview; the message is what Pulumi said."""


def pulumi(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What became of a command; whoever calls judges that.

    Args:
        arguments: the command's, without `pulumi`.
        environment: the whole environment of the process.

    Raises:
        PreviewFailed: there is no Pulumi.
    """
    try:
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise PreviewFailed(f"pulumi: {error.strerror}: install Pulumi 3.218.0 or later") from None
