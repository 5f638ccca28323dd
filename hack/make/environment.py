"""Environment variables for pulumi, kubectl and linkerd that restrict them to the lab."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from hack.lab import linkerd
from hack.lab.errors import LabError
from hack.lab.programs import LAB_LINKERD_VERSION
from hack.lab.state_dir import StateDir
from hack.make import pulumi_wrapper
from hack.make.stack import linkerd_tag
from hack.toolchain import NotInstalledError, helm, installed, pulumi_installation
from hack.toolchain.artifacts import ARTIFACTS

# The lab's state needs no secret passphrase. The salt in Pulumi.dev.yaml belongs to this one.
PASSPHRASE = "lab"


def lab_variables(state_dir: StateDir, version: str) -> dict[str, str]:
    """Return the variables that differ from the caller's environment.

    Args:
        state_dir: the lab's folder.
        version: the Linkerd release whose CLI is put on PATH, such as `2.14.10` or `edge-26.8.3`.

    Raises:
        LabError: the lab is not running, or there is no Linkerd CLI.
        toolchain.NotInstalledError: the toolchain has not been built.
    """
    charts = state_dir.read_status().get("charts") if state_dir.is_running() else None
    if not charts:
        raise LabError("the lab is not running; run `make up` to start it")
    folders = [
        Path(sys.prefix) / "bin",
        *pulumi_installation.program_folders(),
        find_cli(state_dir, version).path.parent,
        *helm.program_folders(),
    ]
    if shutil.which("kubectl") is None:
        folders.append(installed("kubectl") / "bin")
    variables = {
        "KUBECONFIG": str(state_dir.kubeconfig),
        "MULTICLUSTER_MESH_CHARTS": str(charts),
        # No attribute files: Pulumi does not write them atomically, unlike the state itself. A Pulumi that is killed
        # meanwhile leaves a state that cannot be loaded ("failed to load checkpoint: EOF").
        "PULUMI_BACKEND_URL": f"{(state_dir.folder / 'state').as_uri()}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Providers run for seconds only: less frequent garbage collection saves a tenth of the time.
        "GOGC": os.environ.get("GOGC", "400"),
        # Go uses no proxy for loopback addresses; Python does without this variable.
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost"))),
        "PATH": _prepend(folders, os.environ.get("PATH", "")),
    }
    if pulumi_installation.find_on_path() is None:
        variables["PULUMI_HOME"] = str(state_dir.folder / "pulumi")
        # A missing plugin is an error, because the toolchain builds all plugins; Pulumi would download it.
        variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return variables


def shell_variables(state_dir: StateDir, version: str) -> dict[str, str]:
    """Return the variables for a user's shell, whose `pulumi` does not write into tracked stack files.

    The arguments and errors are those of `lab_variables`.
    """
    variables = lab_variables(state_dir, version)
    return {**variables, "PATH": _prepend([pulumi_wrapper.FOLDER], variables["PATH"])}


def find_cli(state_dir: StateDir, version: str) -> linkerd.Program:
    """Return Linkerd's CLI for a release, from the toolchain or else from `$LAB_LINKERD`.

    A CLI from `$LAB_LINKERD` can be of another release.

    Raises:
        LabError: the toolchain has no such release, and `$LAB_LINKERD` is not set.
        toolchain.NotInstalledError: the toolchain has the release, but has not built it.
    """
    tag = linkerd_tag(version).removeprefix("stable-")
    if f"linkerd-{tag}" in ARTIFACTS:
        return linkerd.Program(path=installed(f"linkerd-{tag}") / "bin" / linkerd.CLI, release=tag)
    return linkerd.find_cli(tag, linkerd.list_folders(state_dir))


def version_with_cli(state_dir: StateDir, version: str) -> str:
    """Return the release, or the lab's own release if there is no CLI of the first one.

    For commands that work with a CLI of any release.
    """
    try:
        find_cli(state_dir, version)
    except (LabError, NotInstalledError):
        return LAB_LINKERD_VERSION
    return version


def create_folders(state_dir: StateDir) -> None:
    """Create the folders that the variables refer to."""
    (state_dir.folder / "state").mkdir(parents=True, exist_ok=True)
    if pulumi_installation.find_on_path() is None:
        pulumi_installation.link_plugins(state_dir.folder / "pulumi")


def build_environment(state_dir: StateDir, version: str) -> dict[str, str]:
    """Return the caller's environment, updated with the lab's variables."""
    return {**os.environ, **lab_variables(state_dir, version)}


def format_exports(variables: Mapping[str, str]) -> str:
    """Return shell commands that export the variables."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _prepend(folders: list[Path], path: str) -> str:
    own = [str(folder) for folder in folders]
    return os.pathsep.join([*own, *(part for part in path.split(os.pathsep) if part not in own)])
