"""What a stack imports, and for how long: Python's own account of it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.process import Runner
from mesh.paths import PROJECT_ROOT

_LINE = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What one run has imported."""

    seconds: float
    modules: int
    own: frozenset[str]  # modules of this program
    packages: dict[str, float]  # seconds by top-level package, the longest first


def parse(printed: str) -> Imported:
    """What `python -X importtime` printed."""
    own = {path.stem for path in PROJECT_ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    packages: dict[str, float] = defaultdict(float)
    found = [(int(microseconds) / 1e6, name) for microseconds, name in _LINE.findall(printed)]
    for seconds, name in found:
        packages[name.partition(".")[0]] += seconds
    return Imported(
        seconds=sum(seconds for seconds, _ in found),
        modules=len(found),
        own=frozenset(name for _, name in found if name.partition(".")[0] in own),
        packages=dict(sorted(packages.items(), key=lambda item: -item[1])),
    )


def of(runner: Runner, work: Path, config: dict[str, Any]) -> Imported:
    """What the program imports for a stack."""
    log = work / "imports.log"
    log.unlink(missing_ok=True)
    with program.api_servers(work, list(config["clusters"])) as kubeconfig:
        program.run(Runner(runner.environment, log), kubeconfig, config, python=("-X", "importtime"))
    return parse(log.read_text())
