"""`kill -9` of a Pulumi that is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum

import psutil


class Victim(StrEnum):
    """Whom it hits."""

    EVERYTHING = "everything"  # the engine and all that it runs, at once
    ENGINE = "engine"  # alone: its children are orphans, and go on
    PROVIDERS = "providers"
    PYTHON = "python"  # the program, and what removes mirrors


@contextmanager
def killed(engine: psutil.Process, victim: Victim) -> Iterator[None]:
    """Kill once, on entering."""
    with suppress(psutil.NoSuchProcess):
        engine.suspend()  # so that it starts nothing while its children are looked up
        children = [child for child in engine.children(recursive=True) if _CHILDREN[victim](child)]
        if victim in (Victim.EVERYTHING, Victim.ENGINE):
            engine.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        if victim in (Victim.PROVIDERS, Victim.PYTHON):
            engine.resume()
    yield


def _program(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.exe().rpartition("/")[2]
    return ""


_CHILDREN: dict[Victim, Callable[[psutil.Process], bool]] = {
    Victim.EVERYTHING: lambda _: True,
    Victim.ENGINE: lambda _: False,
    Victim.PROVIDERS: lambda process: _program(process).startswith("pulumi-resource-"),
    Victim.PYTHON: lambda process: _program(process).startswith("python"),
}
