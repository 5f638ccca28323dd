"""Run of the program alone, with a mock engine and fake API servers that answer at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.mock_engine import PROJECT, STACK, serve_engine
from benchmarks.process import CommandError, CommandRun, Runner
from hack.lab.kubeconfig import LOOPBACK_PEERS
from hack.toolchain.cache import NotInstalledError
from mesh.paths import PROJECT_ROOT

_EXEC = "pulumi-language-python-exec"


@dataclass(frozen=True, kw_only=True)
class ProgramRun:
    """The measurements of one run of the program."""

    command_run: CommandRun
    resources: int
    counts: Mapping[str, int]  # by type


@contextmanager
def serve_clusters(work: Path, clusters: Sequence[str]) -> Iterator[Path]:
    """Run a fake API server for each cluster, and yield the path of their kubeconfig."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fake_apis"],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        port = int(process.stdout.readline())
        path = work / f"kubeconfig-{len(clusters)}"
        path.write_text(_render_kubeconfig(port, clusters))
        yield path
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def run_program(
    runner: Runner,
    kubeconfig: Path,
    config: Mapping[str, Any],
    *,
    python: Sequence[str] = (),
    memory: bool = False,
) -> ProgramRun:
    """Run the program as for a preview, and return its measurements.

    Args:
        runner: the runner.
        kubeconfig: the path of the clusters' kubeconfig.
        config: the settings of the stack file.
        python: options of Python.
        memory: whether to sample the memory.
    """
    script = shutil.which(_EXEC, path=runner.environment["PATH"])
    if script is None:
        raise NotInstalledError(f"{_EXEC}: not on PATH; add the folder of Pulumi's language host to PATH")
    encoded = {
        f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
    }
    environment = {
        "KUBECONFIG": str(kubeconfig),
        "PULUMI_CONFIG": json.dumps(encoded),
        "PULUMI_CONFIG_SECRET_KEYS": "[]",
        "PATH": os.pathsep.join([str(_write_mock_cli(kubeconfig.parent)), runner.environment["PATH"]]),
    }
    with serve_engine() as engine:
        options = {
            "monitor": engine.address,
            "engine": engine.address,
            "project": PROJECT,
            "stack": STACK,
            "organization": "organization",
            "parallel": str(4 * (os.cpu_count() or 1)),  # Pulumi's own default
            "dry_run": "true",
            "pwd": str(PROJECT_ROOT),
            "root_directory": str(PROJECT_ROOT),
        }
        command = [sys.executable, *python, script, *(f"--{key}={value}" for key, value in options.items()), "."]
        try:
            command_run = runner.run(command, PROJECT_ROOT, environment=environment, memory=memory)
        except CommandError as error:
            raise CommandError("\n".join([str(error), *engine.errors])) from None
        return ProgramRun(command_run=command_run, resources=engine.resources, counts=engine.counts)


def _write_mock_cli(work: Path) -> Path:
    """Write a mock of Pulumi's CLI, which exports an empty stack state, and return its folder."""
    folder = work / "mock-cli"
    folder.mkdir(exist_ok=True)
    script = folder / "pulumi"
    script.write_text("#!/bin/sh\necho '{}'\n")
    script.chmod(0o755)
    return folder


def _render_kubeconfig(port: int, clusters: Sequence[str]) -> str:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": f"http://127.0.0.1:{port}/{name}", "extensions": [LOOPBACK_PEERS]}}
            for name in clusters
        ],
        "users": [{"name": "someone", "user": {"token": "none"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "someone"}} for name in clusters],
    }
    return yaml.safe_dump(content)
