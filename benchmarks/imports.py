"""Modules that the program imports for a stack, and their import times, measured by Python itself."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.process import Runner
from mesh.paths import PROJECT_ROOT

_IMPORT_LINE = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ImportProfile:
    """The imports of one run."""

    seconds: float
    modules: int
    own: frozenset[str]  # modules of this program
    packages: dict[str, float]  # seconds by top-level package, in descending order


def parse_import_times(output: str) -> ImportProfile:
    """Parse the output of `python -X importtime`."""
    own = {path.stem for path in PROJECT_ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    packages: dict[str, float] = defaultdict(float)
    times = [(int(microseconds) / 1e6, name) for microseconds, name in _IMPORT_LINE.findall(output)]
    for seconds, name in times:
        packages[name.partition(".")[0]] += seconds
    return ImportProfile(
        seconds=sum(seconds for seconds, _ in times),
        modules=len(times),
        own=frozenset(name for _, name in times if name.partition(".")[0] in own),
        packages=dict(sorted(packages.items(), key=lambda item: -item[1])),
    )


def measure_imports(runner: Runner, work: Path, config: dict[str, Any]) -> ImportProfile:
    """Run the program for a stack, and return its imports."""
    log = work / "imports.log"
    log.unlink(missing_ok=True)
    with program.serve_clusters(work, list(config["clusters"])) as kubeconfig:
        program.run_program(Runner(runner.environment, log), kubeconfig, config, python=("-X", "importtime"))
    return parse_import_times(log.read_text())
