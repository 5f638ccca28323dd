"""Contender `raw apply`: the objects that this program creates, applied by one fast client."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.environment import Environment
from mesh.paths import PROJECT_ROOT


class RawApply:
    """`python -m benchmarks.apply`.

    Args:
        lab: the lab.
        objects: the objects of this program's stack, by cluster.
    """

    name = "raw apply"

    def __init__(self, lab: Environment, objects: Mapping[str, list[dict[str, Any]]]) -> None:
        self._lab = lab
        self._plan = lab.work / "raw-apply.json"
        plan = {}
        for cluster, cluster_objects in objects.items():
            api = lab.api(cluster)
            access = {"port": api.port, "authority": api.authority, "certificate": api.certificate, "key": api.key}
            plan[cluster] = {**access, "objects": cluster_objects}
        self._plan.write_text(json.dumps(plan))
        self._plan.chmod(0o600)

    def up(self) -> None:
        """Apply all objects."""
        self._run("up")

    def down(self) -> None:
        """Delete all objects."""
        self._run("down")

    def before_checks(self) -> None:
        """Do nothing: the objects have the labels that Linkerd's checks need."""

    def _run(self, verb: str) -> None:
        self._lab.runner.run([sys.executable, "-m", "benchmarks.apply", verb, str(self._plan)], PROJECT_ROOT)
