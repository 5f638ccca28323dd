"""What the program needs to know from a kubeconfig: which contexts there are, and where their API servers are.

The Kubernetes provider reads the same files itself, by the same rules; no credential is taken from here.
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

# A kubeconfig says by this extension of a cluster that its loopback address can be used by the other clusters' peers,
# because they all run on one machine.
LAB_EXTENSION = "multicluster-mesh.lab"


class KubeconfigError(Exception):
    """A kubeconfig that can't be read; the message names the file and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """One context of a kubeconfig."""

    name: str
    server: str
    certificate_authority: str | None = None  # the API server's CA, PEM in base64, as a kubeconfig has it
    verified: bool = True  # False where the kubeconfig skips the check of the API server's certificate
    loopback_peers: bool = False
    fault: str | None = None  # why it can't be used; others of the same kubeconfig can


@dataclass(frozen=True, kw_only=True)
class Kubeconfig:
    """What one kubeconfig says, or several that are merged."""

    contexts: Mapping[str, Context]
    current: str | None


def kubeconfig_paths(environment: Mapping[str, str]) -> list[Path]:
    """The kubeconfig files: those that `$KUBECONFIG` lists, else `~/.kube/config`."""
    listed = [part for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        return [Path(part).expanduser() for part in listed]
    home = environment.get("HOME")
    return [(Path(home) if home else Path.home()) / ".kube" / "config"]


def read_kubeconfigs(those: Iterable[Path]) -> Kubeconfig:
    """Several kubeconfig files as one, merged the way kubectl does: the first that sets a name wins.

    Raises:
        KubeconfigError: a file isn't a kubeconfig. One that doesn't exist is passed over, as kubectl does.
    """
    return _merged([(path, str(path), _read(path)) for path in those])


def parse_kubeconfig(text: str, label: str) -> Kubeconfig:
    """A kubeconfig from its content.

    Args:
        text: the content of a file.
        label: what it is called in messages.

    Raises:
        KubeconfigError: it isn't a kubeconfig.
    """
    return _merged([(Path(label), label, _loaded(text, label))])


def _merged(contents: Iterable[tuple[Path, str, dict[str, Any]]]) -> Kubeconfig:
    clusters: dict[str, tuple[Path, dict[str, Any]]] = {}
    found: dict[str, str] = {}
    current: str | None = None
    for path, label, content in contents:
        for entry in _entries(content, "clusters", label):
            clusters.setdefault(str(entry.get("name")), (path, _mapping(entry.get("cluster"))))
        for entry in _entries(content, "contexts", label):
            found.setdefault(str(entry.get("name")), str(_mapping(entry.get("context")).get("cluster")))
        current = current or content.get("current-context") or None
    contexts = {name: _context(name, *clusters[cluster]) for name, cluster in found.items() if cluster in clusters}
    return Kubeconfig(contexts=contexts, current=str(current) if current else None)


def _context(name: str, path: Path, cluster: dict[str, Any]) -> Context:
    extensions = cluster.get("extensions")
    marks = [_mapping(item) for item in extensions] if isinstance(extensions, list) else []
    lab = [_mapping(mark.get("extension")) for mark in marks if mark.get("name") == LAB_EXTENSION]
    authority, fault = _certificate_authority(cluster, path)
    return Context(
        name=name,
        server=str(cluster.get("server", "")),
        certificate_authority=authority,
        fault=fault,
        verified=cluster.get("insecure-skip-tls-verify") is not True,
        loopback_peers=any(mark.get("loopbackPeers") is True for mark in lab),
    )


def _certificate_authority(cluster: dict[str, Any], path: Path) -> tuple[str | None, str | None]:
    """The certificate authority, and what is wrong with it."""
    data = cluster.get("certificate-authority-data")
    if data:
        return str(data), None
    named = cluster.get("certificate-authority")
    if not named:
        return None, None
    file = path.parent / str(named)
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
    return _loaded(content, str(path))


def _loaded(content: bytes | str, label: str) -> dict[str, Any]:
    try:
        found = strict_yaml.load(content)
    except strict_yaml.StrictYamlError as error:
        raise KubeconfigError(f"{label}: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise KubeconfigError(f"{label}: not a kubeconfig: a mapping was expected, not a {type(found).__name__}")
    return found


def _entries(content: dict[str, Any], key: str, label: str) -> list[dict[str, Any]]:
    entries = content.get(key) or []
    if not isinstance(entries, list):
        raise KubeconfigError(f"{label}: {key}: a list was expected")
    return [_mapping(entry) for entry in entries]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
