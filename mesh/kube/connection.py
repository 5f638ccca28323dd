"""Connections to a cluster: the official client, with the settings and credentials of a kubeconfig's context."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from mesh.kube.credentials import Credentials
from mesh.kube.errors import BadCredentialsError, KubeconfigContextError
from mesh.kube.json_access import as_text
from mesh.kube.kubeconfig import (
    HOME_FOLDER_REMEDY,
    Context,
    Kubeconfig,
    kubeconfig_paths,
    parse_kubeconfig,
    read_kubeconfigs,
)
from mesh.kube.kubeconfig_syntax import KubeconfigError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# One thread reads a kubeconfig; the others wait for the result.
_KUBECONFIG_LOCK = Lock()
# The official client has circular imports: two threads that import it at the same time can fail with a deadlock.
_IMPORT_LOCK = Lock()


@dataclass(frozen=True, kw_only=True)
class Access:
    """Credentials for a cluster: a kubeconfig and one of its contexts."""

    context: str
    kubeconfig: str = field(default="", repr=False)  # a path, or a file's content; empty: kubectl's default


def access_from_props(props: Mapping[str, Any]) -> Access:
    """Return the credentials in a dynamic resource's properties (see `components.cluster.Cluster.access_inputs`)."""
    return Access(context=props["context"], kubeconfig=props.get("kubeconfig") or "")


@cache
def build_api_client(access: Access) -> ApiClient:
    """Return the official client for a cluster, one per credentials.

    Raises:
        KubeconfigContextError: the kubeconfig does not exist, or has no such context.
        BadCredentialsError: kubectl cannot use the context either.
    """
    with _IMPORT_LOCK:
        from kubernetes.client import ApiClient, Configuration  # half a second, and most previews do not need it

    context = find_context(access)
    credentials = Credentials(context)
    authorization, files = credentials.authorization(), credentials.tls_files()
    configuration = Configuration(host=context.server if "://" in context.server else f"http://{context.server}")
    configuration.verify_ssl = context.is_verified
    configuration.ssl_ca_cert = files.authority
    configuration.cert_file, configuration.key_file = files.certificate, files.key
    fields = context.cluster.fields if context.cluster is not None else {}
    configuration.tls_server_name = fields.get("tls-server-name") or None
    _configure_proxy(configuration, as_text(fields.get("proxy-url")))
    if authorization is not None:
        configuration.api_key["BearerToken"] = authorization
    configuration.refresh_api_key_hook = partial(_renew_credentials, credentials)
    configuration.impersonation = tuple(credentials.impersonation())
    return ApiClient(configuration=configuration)


def find_context(access: Access) -> Context:
    """Return the context of a kubeconfig.

    Raises:
        KubeconfigContextError: the kubeconfig does not exist, or has no such context.
        BadCredentialsError: kubectl cannot use the context either.
    """
    paths: list[Path] = []
    try:
        with _KUBECONFIG_LOCK:
            if access.kubeconfig and not _is_path(access.kubeconfig):
                merged = _parse_kubeconfig(access.kubeconfig)
            else:
                paths = [Path(access.kubeconfig)] if access.kubeconfig else kubeconfig_paths(os.environ)
                merged = _read_kubeconfigs(tuple(paths), _file_stamps(paths))
    except KubeconfigError as error:
        raise BadCredentialsError(f"the kubeconfig cannot be used: {error}", error.remedy) from None
    context = merged.contexts.get(access.context)
    if context is None or context.cluster is None:
        rule = f"the kubeconfig has no context {access.context}"
        if context is not None:
            rule = f"the kubeconfig's context {access.context} cannot be used: {context.error}"
        elif paths and not any(path.exists() for path in paths):
            rule = "no kubeconfig was found"
        is_home = any(str(path).startswith("~") for path in paths)
        raise KubeconfigContextError(rule, HOME_FOLDER_REMEDY if is_home else "set $KUBECONFIG to a file that has it")
    if context.problems:
        problem = context.problems[0]
        rules = "; ".join(each.rule for each in context.problems)
        raise BadCredentialsError(f"the kubeconfig's context {context.name} cannot be used: {rules}", problem.remedy)
    return context


def _configure_proxy(configuration: Any, url: str) -> None:
    """Set the proxy as Go's client chooses it: `proxy-url`, or else the environment's; none for this machine.

    Args:
        configuration: the official client's configuration, which has the environment's proxy.
        url: the cluster's proxy-url, for all hosts; empty: none.
    """
    if url:
        configuration.proxy, configuration.no_proxy = url, ""
    elif _is_local(str(configuration.host)):
        configuration.proxy = None
    proxy = urlsplit(configuration.proxy or "")
    if proxy.scheme == "socks5":
        # Go's client lets the proxy resolve host names.
        configuration.proxy = urlunsplit(proxy._replace(scheme="socks5h"))
    elif proxy.username is not None:
        from urllib3 import make_headers

        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        configuration.proxy_headers = make_headers(proxy_basic_auth=pair)


def _is_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _renew_credentials(credentials: Credentials, configuration: Any) -> None:
    authorization = credentials.authorization()
    if authorization is not None:
        configuration.api_key["BearerToken"] = authorization


@cache
def _parse_kubeconfig(content: str) -> Kubeconfig:
    return parse_kubeconfig(content, "its content")


@cache
def _read_kubeconfigs(paths: tuple[Path, ...], _stamps: tuple[tuple[int, int], ...]) -> Kubeconfig:
    """Return one kubeconfig, or the merged list in `$KUBECONFIG`; read the files again only after a change.

    With hundreds of contexts, reading all files for each of them was most of a preview's time.
    """
    return read_kubeconfigs(paths)


def _file_stamps(paths: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in (path.stat() for path in paths if path.exists()))


def _is_path(kubeconfig: str) -> bool:
    return "\n" not in kubeconfig and not kubeconfig.lstrip().startswith("{") and Path(kubeconfig).exists()
