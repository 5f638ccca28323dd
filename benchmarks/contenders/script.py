"""Contenders as shell scripts: Linkerd's guides with Helm, Linkerd's CLI alone, and helmfile.

Each script can work on one cluster after the other, as in the guides, or on all clusters at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.environment import Environment
from mesh.linkerd_releases import DEFAULT_LINKERD_VERSION, find_linkerd_release

GUIDES = "guides.sh"
CLI = "linkerd-cli.sh"
HELMFILE = "helmfile.sh"


class ShellScript:
    """One of the scripts in this folder.

    Args:
        lab: the lab.
        script: the file name of the script.
        podinfo: the objects of podinfo for kubectl, by cluster; all these clusters are linked with each other.
        namespace: the namespace of podinfo.
        concurrently: whether the script works on all clusters at the same time where possible.
        name: the name in the results.
    """

    def __init__(
        self,
        lab: Environment,
        script: str,
        podinfo: Mapping[str, Any],
        namespace: str,
        *,
        concurrently: bool,
        name: str,
    ) -> None:
        self.name = name
        self._lab = lab
        self._script = Path(__file__).with_name(script)
        self._work = lab.work / f"{self._script.stem}{'-concurrently' if concurrently else ''}"
        self._work.mkdir(exist_ok=True)
        for cluster, objects in podinfo.items():
            (self._work / f"podinfo-{cluster}.json").write_text(json.dumps(objects))
        release = find_linkerd_release(DEFAULT_LINKERD_VERSION)
        assert release is not None, "the default release is in the table"
        self._variables = {
            "CLUSTERS": " ".join(podinfo),
            "CONCURRENTLY": "yes" if concurrently else "",
            "WORK": str(self._work),
            "NAMESPACE": namespace,
            "CHARTS": lab.runner.environment["MULTICLUSTER_MESH_CHARTS"],
            "CRDS": release.crds,
            "CONTROL_PLANE": release.control_plane,
            "MULTICLUSTER": release.multicluster,
            # Helm's files are kept apart from the user's.
            **{f"HELM_{kind}_HOME": str(self._work / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA")},
        }
        self._run("prepare")

    def up(self) -> None:
        """Run the commands that create the mesh."""
        self._run("up")

    def down(self) -> None:
        """Run the commands that delete the mesh."""
        self._run("down")

    def before_checks(self) -> None:
        """Set the labels that the charts' hook Jobs would set, because the lab's pods run nothing."""
        self._run("label")

    def _run(self, verb: str) -> None:
        self._lab.runner.run(["bash", str(self._script), verb], self._work, environment=self._variables)
