"""Contexts of a kubeconfig and the addresses of their API servers.

The Kubernetes provider reads the same files by the same rules. This module reads no credentials.
Follows https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh import bounded_io, strict_yaml
from mesh.kube.json_access import as_mapping, as_mappings

# Extension of a cluster in the lab's kubeconfig, which allows loopback addresses: the lab runs on one machine.
LAB_EXTENSION = "multicluster-mesh.lab"


class KubeconfigError(Exception):
    """A kubeconfig cannot be read; the message has the file and the reason."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """One context of a kubeconfig."""

    name: str
    server: str
    certificate_authority: str | None = None  # the API server's CA, PEM in base64, as in the kubeconfig
    is_verified: bool = True  # False: the kubeconfig disables the check of the API server's certificate
    has_loopback_peers: bool = False
    error: str | None = None  # why this context cannot be used; others of the kubeconfig can


@dataclass(frozen=True, kw_only=True)
class Kubeconfig:
    """The contexts of one kubeconfig, or of several merged ones."""

    contexts: Mapping[str, Context]
    current_context: str | None


def kubeconfig_paths(environment: Mapping[str, str]) -> list[Path]:
    """Return the kubeconfig files in `$KUBECONFIG`, or else `~/.kube/config`."""
    paths = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    if paths:
        return [Path(part).expanduser() for part in paths]
    home = environment.get("HOME")
    return [(Path(home) if home else Path.home()) / ".kube" / "config"]


def read_kubeconfigs(paths: Iterable[Path]) -> Kubeconfig:
    """Return several kubeconfig files merged as kubectl does: the first file that sets a name wins.

    Raises:
        KubeconfigError: a file is not a kubeconfig. A file that does not exist is skipped, as kubectl does.
    """
    return _merge([(path, str(path), _read(path)) for path in paths])


def parse_kubeconfig(text: str, label: str) -> Kubeconfig:
    """Return a kubeconfig from its content.

    Args:
        text: content of a file.
        label: name of the kubeconfig in messages.

    Raises:
        KubeconfigError: the text is not a kubeconfig.
    """
    return _merge([(Path(label), label, _parse(text, label))])


def _merge(contents: Iterable[tuple[Path, str, dict[str, Any]]]) -> Kubeconfig:
    clusters: dict[str, tuple[Path, dict[str, Any]]] = {}
    cluster_names: dict[str, str] = {}  # by context
    current: str | None = None
    for path, label, content in contents:
        for entry in _entries(content, "clusters", label):
            clusters.setdefault(str(entry.get("name")), (path, as_mapping(entry, "cluster")))
        for entry in _entries(content, "contexts", label):
            cluster_names.setdefault(str(entry.get("name")), str(as_mapping(entry, "context").get("cluster")))
        current = current or content.get("current-context") or None
    contexts = {
        name: _build_context(name, *clusters[cluster]) for name, cluster in cluster_names.items() if cluster in clusters
    }
    return Kubeconfig(contexts=contexts, current_context=str(current) if current else None)


def _build_context(name: str, path: Path, cluster: dict[str, Any]) -> Context:
    extensions = as_mappings(cluster.get("extensions"))
    lab = [as_mapping(each, "extension") for each in extensions if each.get("name") == LAB_EXTENSION]
    authority, error = _read_certificate_authority(cluster, path)
    return Context(
        name=name,
        server=str(cluster.get("server", "")),
        certificate_authority=authority,
        error=error,
        is_verified=cluster.get("insecure-skip-tls-verify") is not True,
        has_loopback_peers=any(each.get("loopbackPeers") is True for each in lab),
    )


def _read_certificate_authority(cluster: dict[str, Any], path: Path) -> tuple[str | None, str | None]:
    """Return the certificate authority, and why it cannot be read."""
    data = cluster.get("certificate-authority-data")
    if data:
        return str(data), None
    name = cluster.get("certificate-authority")
    if not name:
        return None, None
    file = path.parent / str(name)
    try:
        return base64.b64encode(bounded_io.read_regular_file(file)).decode(), None
    except (OSError, ValueError) as error:
        return None, f"certificate-authority: {file}: {getattr(error, 'strerror', None) or 'not a file'}"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = bounded_io.read_regular_file(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror}") from None
    return _parse(content, str(path))


def _parse(content: bytes | str, label: str) -> dict[str, Any]:
    try:
        value = strict_yaml.load(content)
    except strict_yaml.StrictYamlError as error:
        raise KubeconfigError(f"{label}: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise KubeconfigError(f"{label}: not a kubeconfig: a mapping was expected, not a {type(value).__name__}")
    return value


def _entries(content: dict[str, Any], key: str, label: str) -> list[dict[str, Any]]:
    entries = content.get(key) or []
    if not isinstance(entries, list):
        raise KubeconfigError(f"{label}: {key}: a list was expected")
    return [as_mapping(entry) for entry in entries]
