"""The stack file as the lab needs it: the clusters to start, and the expectations of the checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hack.lab.programs import LAB_LINKERD_VERSION
from mesh import bounded_io, strict_yaml
from mesh.config import PROJECT, SECRET_KEYS, list_cluster_names
from mesh.config.errors import SettingsError, ValidationErrors
from mesh.config.gateway_exposure import resolve_gateway_exposure
from mesh.config.linkerd_release import assume_release
from mesh.config.models.stack_file import ClusterConfig, StackFile
from mesh.config.outline import StackOutline, resolve_outline
from mesh.config.parser import ParsedStackFile, parse_stack_file
from mesh.config.resolved import ClusterExtensions, Sample
from mesh.config.validation.cilium import has_linkerd
from mesh.kube.json_access import as_mapping
from mesh.linkerd_releases import LinkerdRelease, find_linkerd_release
from mesh.paths import PROJECT_ROOT
from mesh.topology import Link

# Replaces an encrypted secret, which cannot be decrypted here. The text is valid where a certificate is expected.
_HIDDEN_SECRET = "-----BEGIN CERTIFICATE----- (secret)"


class StackFileError(Exception):
    """A stack file cannot be read, or is invalid."""


@dataclass(frozen=True, kw_only=True)
class LabCluster:
    """A cluster of the stack, as the lab starts it."""

    name: str  # in the stack file
    context: str  # in the kubeconfig; also the lab's name of the cluster
    has_load_balancer: bool
    namespace: str = "linkerd"  # the control plane's
    is_reachable: bool = True
    required_checks: tuple[str, ...] = ("linkerd check", "linkerd multicluster check")
    kubeconfig: str | None = None  # the path of the cluster's own kubeconfig


@dataclass(frozen=True, kw_only=True)
class LabStack:
    """The parts of a stack file that determine what runs on this machine."""

    name: str
    file: Path
    clusters: tuple[LabCluster, ...]
    links: tuple[Link, ...]
    linkerd_version: str  # such as 2.14.10
    own_kubeconfigs: tuple[str, ...]  # names of the clusters with a kubeconfig of their own
    has_salt: bool  # the file contains the salt of its secrets, so Pulumi writes nothing into it
    samples: tuple[Sample, ...] = ()
    has_linkerd: bool = True
    has_cilium: bool = False

    @property
    def tag(self) -> str:
        """Return Linkerd's own name of the release."""
        return linkerd_tag(self.linkerd_version)

    @property
    def has_federated_services(self) -> bool:
        """Return whether the Linkerd release has federated services."""
        known = find_linkerd_release(self.linkerd_version)
        return self.has_linkerd and (known is None or known.has_federated_services)

    @property
    def reachable_clusters(self) -> tuple[LabCluster, ...]:
        """Return the clusters that are not declared unreachable."""
        return tuple(cluster for cluster in self.clusters if cluster.is_reachable)

    @property
    def live_links(self) -> tuple[Link, ...]:
        """Return the links between reachable clusters."""
        names = {cluster.name for cluster in self.reachable_clusters}
        return tuple(link for link in self.links if {link.source, link.target} <= names)


def linkerd_tag(version: str) -> str:
    """Return Linkerd's own name of a release, such as `edge-25.4.4` for `2.18` in a stack file."""
    known = find_linkerd_release(version)
    return known.tag if known is not None else version


def stack_file_path(name: str) -> Path:
    """Return the path of the stack file that Pulumi reads by default."""
    return PROJECT_ROOT / f"Pulumi.{name}.yaml"


def read_stack(name: str, file: Path | None = None) -> LabStack:
    """Read `Pulumi.<name>.yaml`, or another file for a stack of that name.

    No cluster is contacted, so only errors in the file itself are reported.

    Raises:
        StackFileError: the file is missing, is not YAML, or is invalid.
    """
    file = file or stack_file_path(name)
    try:
        content = as_mapping(strict_yaml.load(bounded_io.read_regular_file(file), loader=strict_yaml.PulumiLoader))
    except FileNotFoundError as error:
        known = ", ".join(sorted(path.name.split(".")[1] for path in PROJECT_ROOT.glob("Pulumi.*.yaml")))
        raise StackFileError(f"{file}: {error.strerror}; name one of these stacks: {known}") from None
    except OSError as error:
        raise StackFileError(f"{file}: {error.strerror}; make it a readable file") from None
    except strict_yaml.StrictYamlError as error:
        raise StackFileError(f"{file}: {error}; correct the file") from None
    config: dict[str, Any] = {}
    for project in _project_names():
        prefix = f"{project}:"
        config |= {
            str(key).removeprefix(prefix): _hide_secrets(value)
            for key, value in as_mapping(content.get("config")).items()
            if str(key).startswith(prefix)
        }
    try:
        parsed, outline, linkerd_release = _resolve(config)
    except SettingsError as error:
        raise StackFileError(f"{file.name}: {error}") from None
    return LabStack(
        name=name,
        file=file,
        clusters=tuple(
            _lab_cluster(name, cluster, parsed, outline.extensions[name])
            for name, cluster in parsed.file.clusters.items()
        ),
        links=tuple(outline.links),
        # Without Linkerd, any of its CLIs will do.
        linkerd_version=linkerd_release.version if outline.has_linkerd else LAB_LINKERD_VERSION,
        own_kubeconfigs=_own_kubeconfigs(parsed.file),
        has_salt="encryptionsalt" in content,
        samples=outline.samples,
        has_linkerd=outline.has_linkerd,
        has_cilium=parsed.file.cilium is not None,
    )


def _project_names() -> tuple[str, ...]:
    """Return the valid prefixes of top-level keys: this project, and a project that `pulumi new` created from it."""
    return tuple(dict.fromkeys((PROJECT, str(yaml.safe_load((PROJECT_ROOT / "Pulumi.yaml").read_text())["name"]))))


def _resolve(config: dict[str, Any]) -> tuple[ParsedStackFile, StackOutline, LinkerdRelease]:
    errors = ValidationErrors(hidden=SECRET_KEYS)
    parsed = parse_stack_file(config, errors)
    names = list_cluster_names(config)
    if not names:
        errors.add(("clusters",), None, "at least one cluster is required", "write `west: {}` for each")
    linkerd_release = assume_release(parsed.file.linkerd.version)
    # Pulumi runs the program in the project's folder.
    outline = resolve_outline(
        parsed, names, linkerd_release, errors, has_linkerd=has_linkerd(config), folder=PROJECT_ROOT
    )
    errors.raise_if_any()
    return parsed, outline, linkerd_release


def _own_kubeconfigs(file: StackFile) -> tuple[str, ...]:
    return tuple(name for name, entry in file.clusters.items() if entry.kubeconfig or name in file.kubeconfigs)


def _lab_cluster(
    name: str, config: ClusterConfig, parsed: ParsedStackFile, extensions: ClusterExtensions
) -> LabCluster:
    exposure = resolve_gateway_exposure(config.gateway)
    has_extension = {
        "multicluster ": len(parsed.file.clusters) > 1,
        "viz ": extensions.viz is not None,
        "jaeger ": extensions.jaeger,
    }
    checked = ["", *(extension for extension, is_installed in has_extension.items() if is_installed)]
    return LabCluster(
        name=name,
        context=config.context or name,
        has_load_balancer=exposure.service_type == "LoadBalancer" and exposure.has_load_balancer,
        namespace=parsed.control_plane_namespace(name),
        is_reachable=config.reachable is True,
        required_checks=tuple(f"linkerd {extension}check" for extension in checked),
        kubeconfig=config.kubeconfig,
    )


def _hide_secrets(value: Any) -> Any:
    """Return the value with a placeholder for each encrypted secret, which cannot be decrypted here."""
    if isinstance(value, dict):
        if value.keys() == {"secure"}:
            return _HIDDEN_SECRET
        return {key: _hide_secrets(item) for key, item in value.items()}
    return [_hide_secrets(item) for item in value] if isinstance(value, list) else value
