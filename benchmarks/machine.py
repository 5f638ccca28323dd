"""The machine that figures were made on, without its name or any path."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version

import psutil


def described(environment: Mapping[str, str]) -> str:
    """Cores, memory, and the versions of what runs.

    Args:
        environment: in whose PATH the programs are.
    """
    memory = psutil.virtual_memory().total / 2**30
    parts = [
        f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}",
        f"Pulumi {_said(environment, 'pulumi', 'version')}",
        f"pulumi-kubernetes {version('pulumi-kubernetes')}",
        f"Helm {_said(environment, 'helm', 'version', '--template', '{{.Version}}')}",
        f"Linkerd {_said(environment, 'linkerd', 'version', '--client', '--short')}",
        f"kubectl {_kubectl(environment)}",
    ]
    return ", ".join(parts)


def _kubectl(environment: Mapping[str, str]) -> str:
    return _said(environment, "kubectl", "version", "--client").removeprefix("Client Version: ")


def _said(environment: Mapping[str, str], name: str, *arguments: str) -> str:
    """The first line that a program of that PATH prints."""
    program = shutil.which(name, path=environment.get("PATH"))
    if program is None:
        return "(none)"
    printed = subprocess.run(
        [program, *arguments], env=dict(environment), capture_output=True, text=True, check=False
    ).stdout
    return next(iter(printed.splitlines()), "(unknown)").strip()
