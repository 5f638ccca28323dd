"""The environment in which pulumi, kubectl and linkerd work on the lab, and on nothing else."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from hack.lab import linkerd
from hack.lab.errors import LabError
from hack.lab.state_dir import StateDir
from hack.make.stack import tag
from hack.toolchain import NotInstalled, installed, pulumi_installation
from hack.toolchain.artifacts import ARTIFACTS
from mesh.linkerd_releases import DEFAULT_LINKERD_VERSION

# The lab's state is worth no secret passphrase; it is what Pulumi.dev.yaml's salt was made with.
PASSPHRASE = "lab"


def variables(home: StateDir, release: str) -> dict[str, str]:
    """The variables that differ from the caller's own.

    Args:
        home: the lab's folder.
        release: the Linkerd release whose CLI is put on PATH, such as `2.14.10` or `edge-26.8.3`.

    Raises:
        LabError: the lab isn't running, so that nobody knows where its chart repository is; or there is no CLI.
        toolchain.NotInstalled: the toolchain has not been built.
    """
    charts = home.read_status().get("charts") if home.is_running() else None
    if not charts:
        raise LabError("the lab isn't running; `make up` starts it")
    folders = [Path(sys.prefix) / "bin", *pulumi_installation.programs(), cli(home, release).path.parent]
    if shutil.which("kubectl") is None:
        folders.append(installed("kubectl") / "bin")
    found = {
        "KUBECONFIG": str(home.kubeconfig),
        "MULTICLUSTER_MESH_CHARTS": str(charts),
        # Without the attributes beside each file: unlike the state itself they are written bit by bit, and
        # a Pulumi that is killed over it leaves a state that can't be loaded ("failed to load checkpoint: EOF").
        "PULUMI_BACKEND_URL": f"{(home.folder / 'state').as_uri()}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Its providers live for seconds: collecting garbage less often saves a tenth of them.
        "GOGC": os.environ.get("GOGC", "400"),
        # Go's programs never use a proxy for loopback addresses; Python's do, unless told.
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost"))),
        "PATH": _prepended(folders, os.environ.get("PATH", "")),
    }
    if pulumi_installation.on_path() is None:
        found["PULUMI_HOME"] = str(home.folder / "pulumi")
        # The plugins are the ones that were built; a missing one is an error here, not a download.
        found["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return found


def cli(home: StateDir, release: str) -> linkerd.Program:
    """Linkerd's CLI for a release: the toolchain's, or else one of `$LAB_LINKERD`, if need be of another release.

    Raises:
        LabError: the toolchain doesn't know the release, and no folder is named.
        toolchain.NotInstalled: the toolchain knows it, and hasn't built it.
    """
    wanted = tag(release).removeprefix("stable-")
    if f"linkerd-{wanted}" in ARTIFACTS:
        return linkerd.Program(path=installed(f"linkerd-{wanted}") / "bin" / linkerd.CLI, release=wanted)
    return linkerd.cli(wanted, linkerd.folders(home))


def with_any_cli(home: StateDir, release: str) -> str:
    """The release itself, or the default one where there is no CLI of it, for who can do without."""
    try:
        cli(home, release)
    except (LabError, NotInstalled):
        return DEFAULT_LINKERD_VERSION
    return release


def prepare(home: StateDir) -> None:
    """Make the folders that the variables name."""
    (home.folder / "state").mkdir(parents=True, exist_ok=True)
    if pulumi_installation.on_path() is None:
        pulumi_installation.link_plugins(home.folder / "pulumi")


def merged(home: StateDir, release: str) -> dict[str, str]:
    """The caller's environment with the lab's variables in it."""
    return {**os.environ, **variables(home, release)}


def shell(variables: Mapping[str, str]) -> str:
    """Lines for a shell to evaluate."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _prepended(folders: list[Path], path: str) -> str:
    ours = [str(folder) for folder in folders]
    return os.pathsep.join([*ours, *(part for part in path.split(os.pathsep) if part not in ours)])
