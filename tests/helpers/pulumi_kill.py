"""`kill -9` of a running Pulumi command or of its children."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

import psutil


class KillTarget(StrEnum):
    """Processes that a kill ends."""

    EVERYTHING = "everything"  # the engine and all its children
    ENGINE = "engine"  # its children continue as orphans
    PROVIDERS = "providers"
    PYTHON = "python"  # the program and the dynamic providers


@contextmanager
def kill(pulumi_process: psutil.Process, target: KillTarget) -> Iterator[None]:
    """Kill the target once, on entry."""
    with suppress(psutil.NoSuchProcess):
        pulumi_process.suspend()  # no new children during the lookup
        children = [child for child in pulumi_process.children(recursive=True) if _CHILDREN[target](child)]
        if target in (KillTarget.EVERYTHING, KillTarget.ENGINE):
            pulumi_process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        if target in (KillTarget.PROVIDERS, KillTarget.PYTHON):
            pulumi_process.resume()
    yield


def _program_name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.exe().rpartition("/")[2]
    return ""


_CHILDREN: dict[KillTarget, Callable[[psutil.Process], bool]] = {
    KillTarget.EVERYTHING: lambda _: True,
    KillTarget.ENGINE: lambda _: False,
    KillTarget.PROVIDERS: lambda process: _program_name(process).startswith("pulumi-resource-"),
    KillTarget.PYTHON: lambda process: _program_name(process).startswith("python"),
}
