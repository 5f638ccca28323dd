"""Environment of all benchmarks: a separate lab, and a runner whose programs use only that lab."""

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
from hack.lab.programs import LAB_LINKERD_VERSION
from hack.lab.state_dir import StateDir, locate
from hack.make import environment
from hack.toolchain import helm, installed
from mesh.paths import PROJECT_ROOT

ReportLine = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A running lab."""

    state_dir: StateDir
    runner: Runner
    work: Path  # a folder for files of the benchmarks
    report: ReportLine

    def api(self, cluster: str) -> ApiClient:
        """Return the client of a cluster's API server."""
        cluster_allocation = allocation.read_allocation(self.state_dir.cluster(cluster))
        assert cluster_allocation is not None, f"{cluster} runs"
        return connect(Pki(folder=self.state_dir.cluster(cluster) / "pki"), cluster_allocation)

    def start(self, clusters: Sequence[str]) -> None:
        """Start clusters in addition to the running ones."""
        lifecycle.start(
            self.state_dir,
            clusters,
            load_balancers={},
            chart_folders=[],
            timeout=60 + 30 * len(clusters),
            report=_silent,
        )


def lab_folder() -> Path:
    """Return the folder of the benchmarks' lab, which is separate from the project's lab."""
    return locate().folder.with_name(f"{locate().folder.name}-benchmarks")


@contextmanager
def start_lab(clusters: Sequence[str], report: ReportLine) -> Iterator[Environment]:
    """Run a lab with these clusters, and delete it afterwards, even if this process is killed.

    Raises:
        LabError, toolchain.NotInstalledError: the lab cannot be started.
    """
    state_dir = StateDir(folder=lab_folder())
    # An earlier run can have left a lab.
    lifecycle.stop(state_dir, [], delete=True)
    shutil.rmtree(state_dir.folder, ignore_errors=True)
    state_dir.create()
    watchdog = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.watchdog", str(state_dir.folder)],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert watchdog.stdin is not None
    pipe = watchdog.stdin

    def watch(process: psutil.Process | None) -> None:
        pipe.write(f"{process.pid} {process.create_time()}\n" if process is not None else "\n")
        pipe.flush()

    try:
        report(f"lab: {len(clusters)} clusters")
        lifecycle.start(
            state_dir, clusters, load_balancers={}, chart_folders=[], timeout=60 + 30 * len(clusters), report=_silent
        )
        environment.create_folders(state_dir)
        variables = environment.build_environment(state_dir, LAB_LINKERD_VERSION)
        variables["PATH"] = os.pathsep.join([str(helm.find_program().parent), *_helmfile_folders(), variables["PATH"]])
        work = state_dir.folder / "work"
        work.mkdir(exist_ok=True)
        yield Environment(
            state_dir=state_dir, runner=Runner(variables, work / "output.log", watch), work=work, report=report
        )
    finally:
        # Stopped here, because the lab's supervisor is a child of this process. The watchdog stops the lab only if this
        # process is killed.
        lifecycle.stop(state_dir, [], delete=True)
        pipe.close()
        watchdog.wait()


def _helmfile_folders() -> list[str]:
    """Return the folder of the toolchain's helmfile, or nothing if helmfile is on PATH."""
    return [] if shutil.which("helmfile") else [str(installed("helmfile") / "bin")]


def _silent(_: str) -> None:
    pass
