"""What the lab must know of a stack file before the program itself reads and judges it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from versions import DEFAULT_LINKERD

CHECKOUT = Path(__file__).absolute().parents[1]
PROJECT = "multicluster-mesh"


class StackFileError(Exception):
    """A stack file that can't be read, or that names no clusters."""


@dataclass(frozen=True, kw_only=True)
class LabCluster:
    """A cluster of the stack, as the lab has to start it."""

    name: str  # in the stack file
    context: str  # in the kubeconfig, and so the lab's name for it
    load_balancer: bool


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The parts of a stack file that decide what runs on this machine."""

    name: str
    file: Path
    clusters: tuple[LabCluster, ...]
    links: tuple[tuple[str, str], ...]  # (source, target)
    release: str  # of Linkerd, such as 2.14.10
    salted: bool  # the file has the salt of its secrets, so that Pulumi has nothing to write into it


def read(name: str, file: Path | None = None) -> Stack:
    """Read `Pulumi.<name>.yaml`, or another file for a stack of that name.

    What is wrong in it beyond the names of clusters is left for the program to say, which lists every fault.

    Raises:
        StackFileError: there is no such file, it is not YAML, or it names no clusters.
    """
    file = file or CHECKOUT / f"Pulumi.{name}.yaml"
    try:
        content = _mapping(yaml.safe_load(file.read_text()))
    except OSError as error:
        known = ", ".join(sorted(path.name.split(".")[1] for path in CHECKOUT.glob("Pulumi.*.yaml")))
        raise StackFileError(f"{file}: {error.strerror}; stacks here are {known}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StackFileError(f"{file}: not YAML: {error}") from None
    config = _mapping(content.get("config"))
    clusters = _mapping(config.get(f"{PROJECT}:clusters"))
    if not clusters:
        raise StackFileError(f"{file}: config.{PROJECT}:clusters: no clusters; write `west: {{}}` for each")
    found = config.get(f"{PROJECT}:links")
    links = [_mapping(link) for link in found] if isinstance(found, list) else []
    return Stack(
        name=name,
        file=file,
        clusters=tuple(_cluster(str(key), _mapping(value)) for key, value in clusters.items()),
        links=tuple((str(link.get("source")), str(link.get("target"))) for link in links),
        release=str(_mapping(config.get(f"{PROJECT}:linkerd")).get("version", DEFAULT_LINKERD)).removeprefix("stable-"),
        salted="encryptionsalt" in content,
    )


def _cluster(name: str, value: dict[str, Any]) -> LabCluster:
    gateway = _mapping(value.get("gateway"))
    return LabCluster(
        name=name, context=str(value.get("context", name)), load_balancer=gateway.get("loadBalancer") is not False
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
