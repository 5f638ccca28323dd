"""Shell scripts: the guides' way with Helm, Linkerd's CLI alone, helmfile; as printed, or clusters side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.environment import Environment
from mesh.linkerd_releases import DEFAULT_LINKERD_VERSION, linkerd_release

GUIDES = "guides.sh"
CLI = "linkerd-cli.sh"
HELMFILE = "helmfile.sh"


class Script:
    """One of the scripts of this folder.

    Args:
        ground: the lab.
        script: its file name.
        clusters: the clusters, every one of which is the source and the target of every other.
        podinfo: for each, the objects of podinfo, for kubectl.
        namespace: podinfo's.
        side_by_side: whether what can be done for all clusters at once is.
        name: how results call it.
    """

    def __init__(
        self,
        ground: Environment,
        script: str,
        podinfo: Mapping[str, Any],
        namespace: str,
        *,
        side_by_side: bool,
        name: str,
    ) -> None:
        self.name = name
        self._ground = ground
        self._script = Path(__file__).with_name(script)
        self._work = ground.work / f"{self._script.stem}{'-side-by-side' if side_by_side else ''}"
        self._work.mkdir(exist_ok=True)
        for cluster, objects in podinfo.items():
            (self._work / f"podinfo-{cluster}.json").write_text(json.dumps(objects))
        release = linkerd_release(DEFAULT_LINKERD_VERSION)
        assert release is not None, "the default is known"
        self._variables = {
            "CLUSTERS": " ".join(podinfo),
            "SIDE_BY_SIDE": "yes" if side_by_side else "",
            "WORK": str(self._work),
            "NAMESPACE": namespace,
            "CHARTS": ground.runner.environment["MULTICLUSTER_MESH_CHARTS"],
            "CRDS": release.crds,
            "CONTROL_PLANE": release.control_plane,
            "MULTICLUSTER": release.multicluster,
            # Helm's own files stay out of the user's.
            **{f"HELM_{kind}_HOME": str(self._work / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA")},
        }
        self._run("prepare")

    def up(self) -> None:
        """The script's commands that make the mesh."""
        self._run("up")

    def down(self) -> None:
        """Those that take it away."""
        self._run("down")

    def before_checks(self) -> None:
        """What hook Jobs of the charts do in a cluster whose pods run something."""
        self._run("label")

    def _run(self, verb: str) -> None:
        self._ground.runner.run(["bash", str(self._script), verb], self._work, environment=self._variables)
