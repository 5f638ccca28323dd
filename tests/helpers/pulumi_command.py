"""Pulumi in a folder of a test's own, outside of the checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def run_pulumi(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a command there."""
    return subprocess.run(
        ["pulumi", *arguments, "--non-interactive", "--color=never"],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
