"""Description of the machine that runs the benchmarks, without host name and paths."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version

import psutil


def describe_machine(environment: Mapping[str, str]) -> str:
    """Return cores, memory, and the versions of the programs.

    Args:
        environment: the variables, whose PATH contains the programs.
    """
    memory = psutil.virtual_memory().total / 2**30
    parts = [
        f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}",
        f"Pulumi {_first_line(environment, 'pulumi', 'version')}",
        f"pulumi-kubernetes {version('pulumi-kubernetes')}",
        f"Helm {_first_line(environment, 'helm', 'version', '--template', '{{.Version}}')}",
        f"Linkerd {_first_line(environment, 'linkerd', 'version', '--client', '--short')}",
        f"kubectl {_kubectl_version(environment)}",
    ]
    return ", ".join(parts)


def _kubectl_version(environment: Mapping[str, str]) -> str:
    return _first_line(environment, "kubectl", "version", "--client").removeprefix("Client Version: ")


def _first_line(environment: Mapping[str, str], name: str, *arguments: str) -> str:
    """Return the first line that a program prints."""
    program = shutil.which(name, path=environment.get("PATH"))
    if program is None:
        return "(none)"
    output = subprocess.run(
        [program, *arguments], env=dict(environment), capture_output=True, text=True, check=False
    ).stdout
    return next(iter(output.splitlines()), "(unknown)").strip()
