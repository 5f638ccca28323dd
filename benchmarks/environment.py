"""What every figure stands on: a lab of the benchmarks' own, and programs that run on it and on nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.process import Runner
from hack.lab import allocation, lifecycle
from hack.lab.api import ApiClient, connect
from hack.lab.pki import Pki
from hack.lab.state_dir import StateDir, locate
from hack.make import environment
from hack.toolchain import helm, installed
from mesh.linkerd_releases import DEFAULT_LINKERD_VERSION
from mesh.paths import PROJECT_ROOT

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A running lab."""

    home: StateDir
    runner: Runner
    work: Path  # a folder for what figures write
    say: Say

    def api(self, cluster: str) -> ApiClient:
        """The API server of a cluster."""
        found = allocation.read(self.home.cluster(cluster))
        assert found is not None, f"{cluster} runs"
        return connect(Pki(folder=self.home.cluster(cluster) / "pki"), found)

    def start(self, clusters: Sequence[str]) -> None:
        """Have these clusters run beside those that do."""
        lifecycle.start(
            self.home, clusters, load_balancers={}, chart_folders=[], timeout=60 + 30 * len(clusters), say=_silent
        )


def folder() -> Path:
    """Where the benchmarks' lab lives, so that no other lab of this checkout is touched."""
    return locate().folder.with_name(f"{locate().folder.name}-benchmarks")


@contextmanager
def ground(clusters: Sequence[str], say: Say) -> Iterator[Environment]:
    """A lab with these clusters, which is gone when this is left, and also when this process is killed.

    Raises:
        LabError, toolchain.NotInstalled: it can't be had.
    """
    home = StateDir(folder=folder())
    # What an earlier run could not clear away.
    lifecycle.stop(home, [], delete=True)
    shutil.rmtree(home.folder, ignore_errors=True)
    home.create()
    keeper = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.watchdog", str(home.folder)],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert keeper.stdin is not None
    pipe = keeper.stdin

    def watch(process: psutil.Process | None) -> None:
        pipe.write(f"{process.pid} {process.create_time()}\n" if process is not None else "\n")
        pipe.flush()

    try:
        say(f"lab: {len(clusters)} clusters")
        lifecycle.start(
            home, clusters, load_balancers={}, chart_folders=[], timeout=60 + 30 * len(clusters), say=_silent
        )
        environment.prepare(home)
        variables = environment.merged(home, DEFAULT_LINKERD_VERSION)
        variables["PATH"] = os.pathsep.join([str(helm.program().parent), *_helmfile(), variables["PATH"]])
        work = home.folder / "work"
        work.mkdir(exist_ok=True)
        yield Environment(home=home, runner=Runner(variables, work / "output.log", watch), work=work, say=say)
    finally:
        # Here, because the lab's supervisor is a child of this process; the keeper is for when nobody comes here.
        lifecycle.stop(home, [], delete=True)
        pipe.close()
        keeper.wait()


def _helmfile() -> list[str]:
    """Where the helmfile is that was built here; nothing where there is one on PATH."""
    return [] if shutil.which("helmfile") else [str(installed("helmfile") / "bin")]


def _silent(_: str) -> None:
    pass
