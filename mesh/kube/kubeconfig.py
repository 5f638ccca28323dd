"""Kubeconfigs, read as kubectl and the Kubernetes provider read them.

Every request of the program uses this reader: the settings, the preflight, hooks, drift repair, dynamic providers and
the review. Follows https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ and
https://pkg.go.dev/k8s.io/client-go/tools/clientcmd.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mesh import bounded_io, strict_yaml
from mesh.kube.json_access import as_mapping, as_mappings, as_text

# Extension of a cluster in the lab's kubeconfig, which allows loopback addresses: the lab runs on one machine.
LAB_EXTENSION = "multicluster-mesh.lab"

# The API versions of credential plugins that kubectl supports.
EXEC_API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
PROXY_SCHEMES = ("http", "https", "socks5")
HOME_FOLDER_REMEDY = "set $KUBECONFIG to absolute paths, because kubectl and Pulumi do not expand `~` in it"
FLATTEN_REMEDY = "store the output of `kubectl config view --raw --flatten --minify`"

_LISTS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_CLUSTER_FILES = ("certificate-authority",)
_USER_FILES = ("client-certificate", "client-key", "tokenFile")
_CERTIFICATE_KEYS = {"client-certificate", "client-certificate-data"}


class KubeconfigError(Exception):
    """A kubeconfig cannot be read; the message has the file and the reason.

    Args:
        message: file and reason.
        remedy: an instruction; None: the caller has one.
    """

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A reason why kubectl cannot use a context; it quotes no credentials."""

    rule: str
    remedy: str
    file: str | None = None  # the kubeconfig with the entry


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
        return (*self.missing, *_find_cluster_problems(self), *_find_user_problems(self))

    @property
    def has_usable_cluster(self) -> bool:
        """Return whether the API server's address and CA are known, even if the user cannot be used."""
        return self.cluster is not None and not any(_find_cluster_problems(self))

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
    return _merge([(None, label, _parse(text, label))])


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


def _find_cluster_problems(context: Context) -> Iterator[Problem]:
    """Yield the problems of a context's cluster, by the rules of client-go's `validateClusterInfo`."""
    if (cluster := context.cluster) is None:
        return
    report = _reporter(cluster)
    fields, files = cluster.fields, cluster.file is not None
    if not context.server:
        yield report("its cluster has no `server`", "set it to the URL of the API server")
    if proxy := as_text(fields.get("proxy-url")):
        scheme = _url_scheme(proxy)
        if scheme not in PROXY_SCHEMES:
            rule = f"proxy-url: kubectl supports http, https and socks5, not {scheme or 'a URL without a scheme'}"
            yield report(rule, "begin it with `http://`, `https://` or `socks5://`")
    authority = [key for key in ("certificate-authority", "certificate-authority-data") if fields.get(key)]
    if len(authority) == 2:
        yield report("certificate-authority and certificate-authority-data are both set", "remove one of the two")
    if authority and not context.is_verified and context.uses_tls:
        yield report(f"insecure-skip-tls-verify contradicts {authority[0]}", "remove one of the two")
    if files:
        yield from _find_unreadable(cluster, "certificate-authority")


def _find_user_problems(context: Context) -> Iterator[Problem]:
    """Yield the problems of a context's user, by the rules of client-go's `validateAuthInfo`."""
    if (user := context.user) is None:
        return
    report = _reporter(user)
    fields, files = user.fields, user.file is not None
    has = {key for key, value in fields.items() if value}
    is_basic, is_certificate = bool(has & {"username", "password"}), bool(has & _CERTIFICATE_KEYS)
    if is_basic and ("token" in has or ("tokenFile" in has and context.uses_tls)):
        rule = f"{'token' if 'token' in has else 'tokenFile'} and a password are both set"
        yield report(rule, "remove one of the two")
    if is_certificate:
        for key in ("client-certificate", "client-key"):
            if {key, f"{key}-data"} <= has:
                yield report(f"{key} and {key}-data are both set", "remove one of the two")
            if files:
                yield from _find_unreadable(user, key)
        if not has & {"client-key", "client-key-data"}:
            yield report("client-certificate has no client-key", "add the certificate's key")
    if has & {"as-uid", "as-groups", "as-user-extra"} and "as" not in has:
        yield report("groups, uid or extra of an impersonated user are set without `as`", "add the user as `as`")
    if "exec" in has:
        yield from _find_exec_problems(fields["exec"], report)
    if "auth-provider" in has:
        yield from _find_auth_provider_problems(fields["auth-provider"], "exec" in has, report)
    if not context.uses_tls:
        return
    if "tokenFile" in has and "token" not in has and files:
        yield from _find_unreadable(user, "tokenFile", can_be_empty=False)
    if not (is_basic or is_certificate or has & {"token", "tokenFile", "exec", "auth-provider"}):
        yield report(f"its user {user.name} has no credentials", "log in again, or add the user's credentials")


def _find_exec_problems(plugin: Mapping[str, Any], report: Callable[[str, str], Problem]) -> Iterator[Problem]:
    version, mode = as_text(plugin.get("apiVersion")), as_text(plugin.get("interactiveMode"))
    if not as_text(plugin.get("command")):
        yield report("exec has no `command`", "set it to the plugin's program")
    if not version:
        yield report("exec has no `apiVersion`", f"set it to `{EXEC_API_VERSIONS[0]}`, if the plugin supports it")
    elif version not in EXEC_API_VERSIONS:
        rule = f"exec.apiVersion: kubectl no longer supports {_short(version)}"
        yield report(rule, "update the plugin, and log in again with the plugin's own command")
    if any(not as_text(variable.get("name")) for variable in as_mappings(plugin.get("env"))):
        yield report("exec.env has a variable without a name", "add the name, or remove the variable")
    if not mode and version == EXEC_API_VERSIONS[0]:
        yield report("exec has no `interactiveMode`, which v1 requires", "set it to `IfAvailable`, or to `Never`")
    elif mode == "Always":
        rule = "exec.interactiveMode: the plugin needs a terminal, which Pulumi's providers do not have"
        yield report(rule, "set it to `IfAvailable`, and log in with the plugin beforehand")
    elif mode not in ("", "Never", "IfAvailable"):
        yield report(f"exec.interactiveMode: {_short(mode)} is unknown", "set it to `IfAvailable`, or to `Never`")


def _find_auth_provider_problems(
    provider: Mapping[str, Any], has_plugin: bool, report: Callable[[str, str], Problem]
) -> Iterator[Problem]:
    name, settings = as_text(provider.get("name")), as_mapping(provider, "config")
    if has_plugin:
        yield report("auth-provider and exec are both set", "remove one of the two")
    if name != "oidc":
        rule = f"auth-provider: kubectl does not support {_short(name) or 'one without a name'}"
        plugins = {"gcp": "gke-gcloud-auth-plugin", "azure": "kubelogin"}
        plugin = f"`exec` plugin {plugins[name]}" if name in plugins else "an `exec` plugin"
        yield report(rule, f"use {plugin} instead")
        return
    for key in ("idp-issuer-url", "client-id"):
        if not as_text(settings.get(key)):
            yield report(f"auth-provider.config has no `{key}`", "log in again with the provider's own command")


def _find_unreadable(entry: Entry, key: str, *, can_be_empty: bool = True) -> Iterator[Problem]:
    path = as_text(entry.fields.get(key))
    if not path:
        return
    reason, remedy = None, "correct the path, or restore the file"
    try:
        content = bounded_io.read_regular_file(Path(path))
        if not can_be_empty and not content.strip():
            reason = "the file is empty"
    except FileNotFoundError as error:
        reason = error.strerror
        if as_text(entry.original.get(key)).startswith("~"):
            remedy = "write the whole path, because kubectl does not expand `~`"
    except PermissionError as error:
        reason, remedy = error.strerror, "let your user read the file"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file"
    if reason is not None:
        yield _reporter(entry)(f"{key}: {path}: {reason}", remedy)


def _reporter(entry: Entry) -> Callable[[str, str], Problem]:
    file = None if entry.file is None else str(entry.file)
    return lambda rule, remedy: Problem(rule=rule, remedy=remedy, file=file)


def _url_scheme(url: str) -> str:
    try:
        scheme = urlsplit(url).scheme.lower()
    except ValueError:
        return ""
    return _short(scheme) if "://" in url else ""


def _short(text: str) -> str:
    return text if len(text) <= 60 and text.isprintable() else f"{text[:60].encode('unicode_escape').decode()}…"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = bounded_io.read_regular_file(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror}") from None
    return _parse(content, str(path))


class _KubeconfigLoader(strict_yaml.PulumiLoader):
    """Loader for YAML as kubectl parses it: dates and times are strings, `y` and `on` are booleans."""


# https://github.com/kubernetes-sigs/yaml/blob/master/goyaml.v2/resolve.go
_KubeconfigLoader.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if not tag.endswith((":bool", ":int", ":float"))]
    for first, resolvers in strict_yaml.PulumiLoader.yaml_implicit_resolvers.items()
}
for _tag, _shape, _first in (
    ("bool", r"(y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$", "yYoOtTnNfF"),
    ("int", r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.nan$", "-+.0123456789"),
):
    _KubeconfigLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_shape), list(_first))


def _parse(content: bytes | str, label: str) -> dict[str, Any]:
    try:
        value = strict_yaml.load(content, loader=_KubeconfigLoader)
    except strict_yaml.StrictYamlError as error:
        # PyYAML without libyaml refuses tabs, which JSON allows.
        value = _parse_json(content)
        if value is None:
            raise KubeconfigError(f"{label}: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise KubeconfigError(f"{label}: not a kubeconfig: a mapping was expected, not a {type(value).__name__}")
    for key, expected in (("kind", "Config"), ("apiVersion", "v1")):
        if value.get(key) not in (None, "", expected):
            raise KubeconfigError(f"{label}: not a kubeconfig: `{key}` is not {expected}")
    for path, rule, remedy in _find_type_errors(value, _KUBECONFIG_SCHEMA, ""):
        raise KubeconfigError(f"{label}: {path}: {rule}", remedy)
    return value


def _parse_json(content: bytes | str) -> dict[str, Any] | None:
    """Return a JSON object, or None if the content is not one that YAML's limits and rules allow."""
    tab, space = ("\t", " ") if isinstance(content, str) else (b"\t", b" ")
    if content.lstrip()[:1] not in ("{", b"{") or tab not in content:  # type: ignore[operator]  # both are one type
        return None
    try:
        json.loads(content)
        # Outside of strings, tabs are white space; JSON allows none inside.
        value = strict_yaml.load(content.replace(tab, space), loader=_KubeconfigLoader)  # type: ignore[arg-type]
    except (ValueError, RecursionError, strict_yaml.StrictYamlError):
        return None
    return value if isinstance(value, dict) else None


# Types of the fields that are read: a name of `_TYPES`, a mapping of fields, a list with the type of its items, or a
# tuple with the type of a mapping's values. Unknown fields are ignored.
_EXTENSIONS_SCHEMA: Any = [{"name": "text"}]
_KUBECONFIG_SCHEMA: Any = {
    "current-context": "text",
    "clusters": [
        {
            "name": "text",
            "cluster": {
                "server": "text",
                "tls-server-name": "text",
                "insecure-skip-tls-verify": "boolean",
                "certificate-authority": "text",
                "certificate-authority-data": "base64",
                "proxy-url": "text",
                "disable-compression": "boolean",
                "extensions": _EXTENSIONS_SCHEMA,
            },
        }
    ],
    "contexts": [{"name": "text", "context": {"cluster": "text", "user": "text", "namespace": "text"}}],
    "users": [
        {
            "name": "text",
            "user": {
                "client-certificate": "text",
                "client-certificate-data": "base64",
                "client-key": "text",
                "client-key-data": "base64",
                "token": "text",
                "tokenFile": "text",
                "as": "text",
                "as-uid": "text",
                "as-groups": ["text"],
                "as-user-extra": (["text"],),
                "username": "text",
                "password": "text",
                "auth-provider": {"name": "text", "config": ("text",)},
                "exec": {
                    "command": "text",
                    "args": ["text"],
                    "env": [{"name": "text", "value": "text"}],
                    "apiVersion": "text",
                    "installHint": "text",
                    "provideClusterInfo": "boolean",
                    "interactiveMode": "text",
                },
            },
        }
    ],
}
_TYPES: dict[str, type] = {"text": str, "base64": str, "boolean": bool}


def _find_type_errors(value: Any, schema: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, rule and remedy for the values that kubectl cannot decode, without the values."""
    if value is None:
        return
    if isinstance(schema, str):
        if not isinstance(value, _TYPES[schema]):
            remedy = "write `true` or `false`" if schema == "boolean" else "enclose it in quotes"
            if isinstance(value, (dict, list)):
                remedy = "correct the value"
            yield path, f"a {'boolean' if schema == 'boolean' else 'string'} was expected", remedy
        elif schema == "base64" and not _is_base64(str(value)):
            yield path, "not valid base64", "copy the value again, or log in again"
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield path, "a list was expected", "correct the value"
            return
        for index, item in enumerate(value):
            yield from _find_type_errors(item if item is not None else {}, schema[0], f"{path}[{index}]")
    elif not isinstance(value, dict):
        yield path, "a mapping was expected", "correct the value"
    else:
        for key, item in value.items():
            item_schema = schema[0] if isinstance(schema, tuple) else schema.get(key)
            if item_schema is not None:
                yield from _find_type_errors(item, item_schema, f"{path}.{key}" if path else str(key))


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(re.sub("[\r\n]", "", text), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
