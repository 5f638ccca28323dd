"""Kubeconfigs, read as kubectl and the Kubernetes provider read them.

Every request of the program uses this reader: the settings, the preflight, hooks, drift repair, dynamic providers and
the review. Follows https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ and
https://pkg.go.dev/k8s.io/client-go/tools/clientcmd.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mesh import bounded_io
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.kubeconfig_checks import Problem, find_cluster_problems, find_user_problems
from mesh.kube.kubeconfig_syntax import KubeconfigError, parse_content

# Extension of a cluster in the lab's kubeconfig, which allows loopback addresses: the lab runs on one machine.
LAB_EXTENSION = "multicluster-mesh.lab"

HOME_FOLDER_REMEDY = "set $KUBECONFIG to absolute paths, because kubectl and Pulumi do not expand `~` in it"
FLATTEN_REMEDY = "store the output of `kubectl config view --raw --flatten --minify`"

_LISTS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_CLUSTER_FILES = ("certificate-authority",)
_USER_FILES = ("client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A cluster, user or context of a kubeconfig."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)  # with absolute paths
    file: Path | None = None  # None: the kubeconfig is a text
    original: Mapping[str, Any] = field(default_factory=dict, repr=False)  # as in the file

    @property
    def has_relative_paths(self) -> bool:
        """Return whether the entry names a file or a plugin by a path that is relative to the kubeconfig."""
        return self.fields != self.original


@dataclass(frozen=True, kw_only=True)
class Context:
    """One context of a kubeconfig."""

    name: str
    server: str
    certificate_authority: str | None = None  # the API server's CA, PEM in base64, as in the kubeconfig
    is_verified: bool = True  # False: the kubeconfig disables the check of the API server's certificate
    tls_server_name: str | None = None  # name in the API server's certificate, if that is not the URL's host
    proxy_url: str | None = field(default=None, repr=False)  # proxy of this machine; may contain credentials
    has_loopback_peers: bool = False
    cluster: Entry | None = field(default=None, repr=False, compare=False)  # None: not in the kubeconfig
    user: Entry | None = field(default=None, repr=False, compare=False)
    missing: tuple[Problem, ...] = field(default=(), repr=False, compare=False)  # entries that do not exist

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Return the reasons why kubectl cannot use this context; others of the kubeconfig can be usable."""
        return (*self.missing, *find_cluster_problems(self), *find_user_problems(self))

    @property
    def has_usable_cluster(self) -> bool:
        """Return whether the API server's address and CA are known, even if the user cannot be used."""
        return self.cluster is not None and not any(find_cluster_problems(self))

    @property
    def error(self) -> str | None:
        """Return the first reason why this context cannot be used."""
        return self.problems[0].rule if self.problems else None

    @property
    def uses_tls(self) -> bool:
        """Return whether the API server has a certificate; kubectl sends no credentials to one without."""
        return self.server.lower().startswith("https://")

    @property
    def file_references(self) -> tuple[str, ...]:
        """Return the keys of the entries that name files, or a plugin by a relative path."""
        keys = [key for key in _CLUSTER_FILES if _fields(self.cluster).get(key)]
        keys += [key for key in _USER_FILES if _fields(self.user).get(key)]
        command = as_text(as_mapping(_fields(self.user), "exec").get("command"))
        return (*keys, "exec.command") if _is_relative_command(command) else tuple(keys)

    @property
    def has_relative_paths(self) -> bool:
        """Return whether the context depends on paths that are relative to its kubeconfig."""
        return any(entry.has_relative_paths for entry in (self.cluster, self.user) if entry is not None)

    def render(self) -> str:
        """Return a kubeconfig with this context only, and absolute paths in it."""
        cluster, user = self.cluster or Entry(name=""), self.user or Entry(name="")
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": self.name,
                "contexts": [{"name": self.name, "context": {"cluster": cluster.name, "user": user.name}}],
                "clusters": [{"name": cluster.name, "cluster": cluster.fields}] if self.cluster else [],
                "users": [{"name": user.name, "user": user.fields}] if self.user else [],
            }
        )


@dataclass(frozen=True, kw_only=True)
class Kubeconfig:
    """The contexts of one kubeconfig, or of several merged ones."""

    contexts: Mapping[str, Context]
    current_context: str | None


def kubeconfig_paths(environment: Mapping[str, str]) -> list[Path]:
    """Return the kubeconfig files in `$KUBECONFIG`, or else `~/.kube/config`.

    A `~` in `$KUBECONFIG` stays: neither kubectl nor the Kubernetes provider expands it.
    """
    variable = environment.get("KUBECONFIG", "")
    if variable:
        return [Path(part) for part in dict.fromkeys(variable.split(os.pathsep)) if part]
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
    return _merge([(None, label, parse_content(text, label))])


def _merge(contents: Iterable[tuple[Path | None, str, dict[str, Any]]]) -> Kubeconfig:
    merged: dict[str, dict[str, Entry]] = {key: {} for key in _LISTS}
    current: str | None = None
    for path, label, content in contents:
        for key, field_key in _LISTS.items():
            names: set[str] = set()
            for item in map(as_mapping, content.get(key) or []):
                name = as_text(item.get("name"))
                if name in names:
                    raise KubeconfigError(f"{label}: {key}: two entries have the name {name}", "rename one of them")
                names.add(name)
                original = as_mapping(item, field_key)
                fields = original if path is None else _resolve_paths(original, path.parent.absolute())
                merged[key].setdefault(name, Entry(name=name, fields=fields, file=path, original=original))
        current = current or as_text(content.get("current-context")) or None
    contexts = {
        name: _build_context(entry, merged["clusters"], merged["users"]) for name, entry in merged["contexts"].items()
    }
    return Kubeconfig(contexts=contexts, current_context=current)


def _resolve_paths(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a cluster or a user with absolute paths; a command without a slash is found on PATH."""
    resolved = dict(fields)
    for key in (*_CLUSTER_FILES, *_USER_FILES):
        if fields.get(key):
            resolved[key] = _join(folder, fields[key])
    if _is_relative_command(command := as_text(as_mapping(fields, "exec").get("command"))):
        resolved["exec"] = {**fields["exec"], "command": _join(folder, command)}
    return resolved


def _join(folder: Path, path: str) -> str:
    return path if Path(path).is_absolute() else os.path.normpath(folder / path)


def _is_relative_command(command: str) -> bool:
    return os.sep in command and not Path(command).is_absolute()


def _build_context(entry: Entry, clusters: Mapping[str, Entry], users: Mapping[str, Entry]) -> Context:
    cluster_name, user_name = (as_text(entry.fields.get(key)) for key in ("cluster", "user"))
    cluster, user = clusters.get(cluster_name), users.get(user_name)
    file = None if entry.file is None else str(entry.file)
    missing = []
    if cluster is None:
        rule = f"its cluster {cluster_name} is not in the kubeconfig" if cluster_name else "it names no cluster"
        missing.append(Problem(rule=rule, remedy="correct the context's `cluster`, or add the cluster", file=file))
    elif user is None and as_text(cluster.fields.get("server")).lower().startswith("https://"):
        rule = f"its user {user_name} is not in the kubeconfig" if user_name else "it names no user"
        missing.append(Problem(rule=rule, remedy="correct the context's `user`, or add the user", file=file))
    fields = _fields(cluster)
    extensions = as_mappings(fields.get("extensions"))
    lab = [as_mapping(each, "extension") for each in extensions if each.get("name") == LAB_EXTENSION]
    return Context(
        name=entry.name,
        server=as_text(fields.get("server")),
        certificate_authority=_read_certificate_authority(fields, can_read=cluster is not None and bool(cluster.file)),
        is_verified=fields.get("insecure-skip-tls-verify") is not True,
        tls_server_name=as_text(fields.get("tls-server-name")) or None,
        proxy_url=as_text(fields.get("proxy-url")) or None,
        has_loopback_peers=any(each.get("loopbackPeers") is True for each in lab),
        cluster=cluster,
        user=user,
        missing=tuple(missing),
    )


def _read_certificate_authority(cluster: Mapping[str, Any], *, can_read: bool) -> str | None:
    data, path = cluster.get("certificate-authority-data"), as_text(cluster.get("certificate-authority"))
    if data:
        return str(data)
    if not path or not can_read:
        return None
    try:
        return base64.b64encode(bounded_io.read_regular_file(Path(path))).decode()
    except (OSError, ValueError):
        return None  # one of the context's problems


def _fields(entry: Entry | None) -> Mapping[str, Any]:
    return {} if entry is None else entry.fields


def _read(path: Path) -> dict[str, Any]:
    try:
        content = bounded_io.read_regular_file(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror}") from None
    return parse_content(content, str(path))
