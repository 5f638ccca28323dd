"""`kill -9` of a Pulumi that is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

import psutil


class KillTarget(StrEnum):
    """Whom it hits."""

    EVERYTHING = "everything"  # the engine and all that it runs, at once
    ENGINE = "engine"  # alone: its children are orphans, and go on
    PROVIDERS = "providers"
    PYTHON = "python"  # the program, and what removes mirrors


@contextmanager
def kill(engine: psutil.Process, victim: KillTarget) -> Iterator[None]:
    """Kill once, on entering."""
    with suppress(psutil.NoSuchProcess):
        engine.suspend()  # so that it starts nothing while its children are looked up
        children = [child for child in engine.children(recursive=True) if _CHILDREN[victim](child)]
        if victim in (KillTarget.EVERYTHING, KillTarget.ENGINE):
            engine.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        if victim in (KillTarget.PROVIDERS, KillTarget.PYTHON):
            engine.resume()
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
