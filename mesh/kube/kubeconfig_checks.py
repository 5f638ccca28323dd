"""Checks of one context of a kubeconfig: the reasons why kubectl cannot use it.

Follows https://pkg.go.dev/k8s.io/client-go/tools/clientcmd (validateClusterInfo, validateAuthInfo).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mesh import bounded_io
from mesh.kube.json_access import as_mapping, as_mappings, as_text

if TYPE_CHECKING:
    from mesh.kube.kubeconfig import Context, Entry

# The API versions of credential plugins that kubectl supports.
EXEC_API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
PROXY_SCHEMES = ("http", "https", "socks5")
_CERTIFICATE_KEYS = {"client-certificate", "client-certificate-data"}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A reason why kubectl cannot use a context; it quotes no credentials."""

    rule: str
    remedy: str
    file: str | None = None  # the kubeconfig with the entry


def find_cluster_problems(context: Context) -> Iterator[Problem]:
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


def find_user_problems(context: Context) -> Iterator[Problem]:
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
