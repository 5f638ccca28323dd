"""The floor: the very objects that ours makes, applied by one fast client."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.environment import Environment
from mesh.paths import PROJECT_ROOT


class Floor:
    """`python -m benchmarks.apply`.

    Args:
        ground: the lab.
        objects: what ours has made, by cluster.
    """

    name = "floor"

    def __init__(self, ground: Environment, objects: Mapping[str, list[dict[str, Any]]]) -> None:
        self._ground = ground
        self._plan = ground.work / "floor.json"
        plan = {}
        for cluster, found in objects.items():
            api = ground.api(cluster)
            access = {"port": api.port, "authority": api.authority, "certificate": api.certificate, "key": api.key}
            plan[cluster] = {**access, "objects": found}
        self._plan.write_text(json.dumps(plan))
        self._plan.chmod(0o600)

    def up(self) -> None:
        """Apply them all."""
        self._run("up")

    def down(self) -> None:
        """Delete them all."""
        self._run("down")

    def before_checks(self) -> None:
        """Nothing."""

    def _run(self, verb: str) -> None:
        self._ground.runner.run([sys.executable, "-m", "benchmarks.apply", verb, str(self._plan)], PROJECT_ROOT)
