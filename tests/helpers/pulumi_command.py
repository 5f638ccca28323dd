"""Pulumi commands in a test's own project folder."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def run_pulumi(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Pulumi command in a folder and return its result."""
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
