"""Programs in place of images: Linkerd's own, this folder's servers, or those of the machine."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SERVERS_FOLDER = Path(__file__).with_name("servers")
MODULES_TARGET = "/opt/lab/modules"
SERVERS_TARGET = f"{MODULES_TARGET}/{__package__.replace('.', '/')}/servers"
PYTHON_TARGET = "/opt/lab/python"

PACKAGES_TARGET = "/opt/lab/packages"
"""Packages of the interpreter that runs the lab, such as grpcio, which Pulumi requires."""

PYTHON_COMMAND = (f"{PYTHON_TARGET}/bin/python{sys.version_info.major}.{sys.version_info.minor}", "-S")
"""Interpreter inside a container."""

# The path of Python's shared library in the program can be in a folder that only its owner may enter.
PYTHON_VARIABLES: Mapping[str, str] = {"LD_LIBRARY_PATH": f"{PYTHON_TARGET}/lib"}
_SERVER_VARIABLES = {"PYTHONPATH": f"{MODULES_TARGET}:{PACKAGES_TARGET}", **PYTHON_VARIABLES}

LINKERD_PROGRAMS: Mapping[str, str] = {
    "controller": "/controller",
    "linkerd-policy-controller": "/linkerd-policy-controller",
    "linkerd2-proxy": "/usr/lib/linkerd/linkerd2-proxy",
    "linkerd2-proxy-identity": "/usr/lib/linkerd/linkerd2-proxy-identity",
    "linkerd2-proxy-init": "/usr/lib/linkerd/linkerd2-proxy-init",
}
"""Linkerd's programs, each with its path in Linkerd's images."""

# Programs of viz, which a folder need not have.
_OPTIONAL_PROGRAMS: Mapping[str, str] = {"metrics-api": "/metrics-api", "tap": "/tap"}

_LINKERD_ENTRYPOINTS: Mapping[str, str] = {
    "controller": "/controller",
    "policy-controller": "/linkerd-policy-controller",
    "proxy": "/usr/lib/linkerd/linkerd2-proxy-identity",
    "proxy-init": "/usr/lib/linkerd/linkerd2-proxy-init",
}
_IMAGE = re.compile(r"(?:(?P<repository>.*)/)?(?P<name>[^/:@]+)(?::(?P<tag>[^@]+))?(?:@.*)?")
_LINKERD_TAG = re.compile(r"(edge|stable)-.*")
_HELLOWORLD = re.compile(r".*helloworld-(?P<version>v\d+)")


@dataclass(frozen=True, kw_only=True)
class ContainerProgram:
    """The command of a container, and the folder with Linkerd's programs if the image is one of Linkerd's."""

    argv: tuple[str, ...]
    linkerd_folder: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def select_program(
    container: Mapping[str, Any],
    arguments: Sequence[str],
    command: Sequence[str],
    folders: Sequence[Path],
    *,
    is_job: bool,
) -> ContainerProgram:
    """Return the program of a container.

    Args:
        container: the container's spec.
        arguments: its `args`, expanded.
        command: its `command`, expanded; empty for the image's own.
        folders: the folders of `$LAB_DATAPLANE`.
        is_job: whether the pod ends with its containers.
    """
    repository, name, tag = parse_image(container["image"])
    folder = select_folder(tag, folders)
    entrypoint = _find_entrypoint(repository, name, tag, folder)
    if entrypoint is not None:
        return ContainerProgram(
            argv=(*(command or [entrypoint]), *arguments),
            linkerd_folder=folder,
            # The images set this variable.
            variables={"LINKERD_CONTAINER_VERSION_OVERRIDE": tag},
        )
    if match := _HELLOWORLD.fullmatch(name):
        return ContainerProgram(argv=server_command("helloworld", match["version"]), variables=_SERVER_VARIABLES)
    if name == "podinfo":
        return ContainerProgram(argv=server_command("podinfo", *command[1:], *arguments), variables=_SERVER_VARIABLES)
    if name == "pause":
        return ContainerProgram(argv=("/bin/sleep", "infinity"))
    if name == "curl" and command:
        return ContainerProgram(argv=(*command, *arguments))
    if is_job:
        # As in the lab without a data plane, a Job is complete without having done its work.
        return ContainerProgram(argv=("/bin/true",))
    if name == "prometheus":
        return ContainerProgram(argv=server_command("prometheus"), variables=_SERVER_VARIABLES)
    ports = [str(port["containerPort"]) for port in container.get("ports") or [] if port.get("protocol") != "UDP"]
    return ContainerProgram(argv=server_command("stand_in", name, *ports), variables=_SERVER_VARIABLES)


def select_folder(tag: str, folders: Sequence[Path]) -> Path:
    """Return the folder that is named after an image's tag, such as `edge-26.8.3`, or else the first one."""
    return next((folder for folder in folders if folder.name in (tag, f"stable-{tag}")), folders[0])


def list_programs(folder: Path) -> list[tuple[str, str]]:
    """Return path and mount path of each program in a folder."""
    optional = {name: path for name, path in _OPTIONAL_PROGRAMS.items() if (folder / name).is_file()}
    return [(str(folder / name), path) for name, path in {**LINKERD_PROGRAMS, **optional}.items()]


def parse_image(image: str) -> tuple[str, str, str]:
    """Return repository, name and tag of an image; empty texts for parts that it lacks."""
    match = _IMAGE.fullmatch(image)
    return (match["repository"] or "", match["name"], match["tag"] or "") if match else ("", image, "")


def server_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of one of this folder's servers inside a container."""
    return (*PYTHON_COMMAND, "-m", f"{__package__}.servers.{module}", *arguments)


def _find_entrypoint(repository: str, name: str, tag: str, folder: Path) -> str | None:
    """Return the program that an image of Linkerd starts; None for other images, and without a program for it."""
    # A mirror can have another repository. Other projects have images with the name `controller`.
    is_linkerd = f"/{repository}".endswith("/linkerd") or _LINKERD_TAG.fullmatch(tag) or name == "proxy-init"
    if not is_linkerd:
        return None
    if name in _OPTIONAL_PROGRAMS and (folder / name).is_file():
        return _OPTIONAL_PROGRAMS[name]
    return _LINKERD_ENTRYPOINTS.get(name)
