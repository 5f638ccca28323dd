"""Files of the project."""

from __future__ import annotations

import subprocess

from mesh.paths import PROJECT_ROOT


def list_project_files() -> list[str]:
    """Return the paths of all files that Git tracks or does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    output = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    return list(filter(None, output.split("\0")))
