"""What the lab must know of a stack file: which clusters to start, and what the checks will look for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mesh import bounded_io, strict_yaml
from mesh import config as settings
from mesh.config import linkerd_release as release
from mesh.config.errors import SettingsError, ValidationErrors
from mesh.config.models.stack_file import ClusterConfig, StackFile
from mesh.config.parser import ParsedStackFile
from mesh.config.resolved import ClusterExtensions, Sample
from mesh.config.validation import cilium, extensions, links, samples
from mesh.linkerd_releases import linkerd_release
from mesh.paths import PROJECT_ROOT
from mesh.topology import Link

PROJECT = settings.PROJECT


# In place of an encrypted secret, which nobody can read here; it may stand where a certificate is expected.
_HIDDEN = "-----BEGIN CERTIFICATE----- (secret)"


class StackFileError(Exception):
    """A stack file that can't be read, or that has faults."""


@dataclass(frozen=True, kw_only=True)
class LabCluster:
    """A cluster of the stack, as the lab has to start it."""

    name: str  # in the stack file
    context: str  # in the kubeconfig, and so the lab's name for it
    load_balancer: bool
    namespace: str = "linkerd"  # of the control plane
    reachable: bool = True
    checks: tuple[str, ...] = ("linkerd check", "linkerd multicluster check")  # those that must have run
    kubeconfig: str | None = None  # the path of one of its own


@dataclass(frozen=True, kw_only=True)
class LabStack:
    """The parts of a stack file that decide what runs on this machine."""

    name: str
    file: Path
    clusters: tuple[LabCluster, ...]
    links: tuple[Link, ...]
    release: str  # of Linkerd, such as 2.14.10
    own_kubeconfigs: tuple[str, ...]  # the clusters that aren't found where kubectl looks
    salted: bool  # the file has the salt of its secrets, so that Pulumi has nothing to write into it
    samples: tuple[Sample, ...] = ()
    linkerd: bool = True
    cilium: bool = False

    @property
    def tag(self) -> str:
        """What Linkerd itself calls the release."""
        return tag(self.release)

    @property
    def federates(self) -> bool:
        """Whether the release has federated services."""
        known = linkerd_release(self.release)
        return self.linkerd and (known is None or known.federation)

    @property
    def reachable(self) -> tuple[LabCluster, ...]:
        """The clusters that aren't declared to be down."""
        return tuple(cluster for cluster in self.clusters if cluster.reachable)

    @property
    def live(self) -> tuple[Link, ...]:
        """The links between those."""
        names = {cluster.name for cluster in self.reachable}
        return tuple(link for link in self.links if {link.source, link.target} <= names)


def tag(release: str) -> str:
    """What Linkerd itself calls a release of a stack file, such as `edge-25.4.4` for `2.18`."""
    known = linkerd_release(release)
    return known.tag if known is not None else release


def read(name: str, file: Path | None = None) -> LabStack:
    """Read `Pulumi.<name>.yaml`, or another file for a stack of that name.

    Raises:
        StackFileError: there is no such file, it is not YAML, or it has faults that need no cluster to be seen.
    """
    file = file or PROJECT_ROOT / f"Pulumi.{name}.yaml"
    try:
        content = _mapping(strict_yaml.load(bounded_io.read_regular_file(file), loader=strict_yaml.PulumiLoader))
    except FileNotFoundError as error:
        known = ", ".join(sorted(path.name.split(".")[1] for path in PROJECT_ROOT.glob("Pulumi.*.yaml")))
        raise StackFileError(f"{file}: {error.strerror}; stacks here are {known}") from None
    except OSError as error:
        raise StackFileError(f"{file}: {error.strerror}; mend it") from None
    except strict_yaml.StrictYamlError as error:
        raise StackFileError(f"{file}: {error}; mend it") from None
    config: dict[str, Any] = {}
    for project in _projects():
        prefix = f"{project}:"
        config |= {
            str(key).removeprefix(prefix): _with_secrets(value)
            for key, value in _mapping(content.get("config")).items()
            if str(key).startswith(prefix)
        }
    try:
        reading, linked, extended, placed, release = _outline(config)
    except SettingsError as error:
        raise StackFileError(f"{file.name}: {error}") from None
    return LabStack(
        name=name,
        file=file,
        clusters=tuple(
            _cluster(key, value, reading.file, extended[key]) for key, value in reading.file.clusters.items()
        ),
        links=tuple(linked),
        release=release,
        own_kubeconfigs=_own_kubeconfigs(reading.file),
        salted="encryptionsalt" in content,
        samples=tuple(placed),
        linkerd=cilium.has_linkerd(config),
        cilium=reading.file.cilium is not None,
    )


def _projects() -> tuple[str, ...]:
    """The names that top keys may begin with: this project's, and that of one that `pulumi new` has made of it."""
    return tuple(dict.fromkeys((PROJECT, str(yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text())["name"]))))


def _outline(
    config: dict[str, Any],
) -> tuple[ParsedStackFile, list[Link], dict[str, ClusterExtensions], list[Sample], str]:
    faults = ValidationErrors(hidden=settings.SECRET_KEYS)
    reading = settings.parse_stack_file(config, faults)
    names = settings.cluster_names(config)
    if not names:
        faults.add(("clusters",), None, "at least one cluster is needed", "write `west: {}` for each")
    linked = list(links.resolve_links(reading, names, faults))
    chosen = release.release_from_name(reading.file)
    extended = extensions.resolve_extensions(reading, names, linked, chosen, faults, linkerd=cilium.has_linkerd(config))
    cilium.resolve_clustermesh(reading, names, faults)
    linkerd = cilium.has_linkerd(config)
    if not linkerd:
        cilium.check_without_linkerd(reading, faults)
    placed = samples.resolve_samples(reading, names, linked, extended, chosen, faults, linkerd=linkerd)
    faults.raise_if_any()
    return reading, linked, extended, placed, chosen.version


def _own_kubeconfigs(file: StackFile) -> tuple[str, ...]:
    return tuple(name for name, entry in file.clusters.items() if entry.kubeconfig or name in file.kubeconfigs)


def _cluster(name: str, value: ClusterConfig, file: StackFile, extended: ClusterExtensions) -> LabCluster:
    gateway = value.gateway
    linkerd = value.linkerd if "namespace" in value.linkerd.model_fields_set else file.linkerd
    several = len(file.clusters) > 1
    there = {"multicluster ": several, "viz ": extended.viz is not None, "jaeger ": extended.jaeger}
    checked = ["", *(extension for extension, installed in there.items() if installed)]
    return LabCluster(
        name=name,
        context=value.context or name,
        load_balancer=gateway.enabled and gateway.load_balancer.enabled and not gateway.node_port,
        namespace=linkerd.namespace,
        reachable=value.reachable is True,
        checks=tuple(f"linkerd {extension}check" for extension in checked),
        kubeconfig=value.kubeconfig,
    )


def _with_secrets(value: Any) -> Any:
    """A value with a text in place of each encrypted secret, which nobody can read here."""
    if isinstance(value, dict):
        if value.keys() == {"secure"}:
            return _HIDDEN
        return {key: _with_secrets(item) for key, item in value.items()}
    return [_with_secrets(item) for item in value] if isinstance(value, list) else value


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
