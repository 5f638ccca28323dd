"""A client of a cluster's API, with the user's own kubeconfig: for what no Pulumi provider does.

It is asked before an update (`preflight`), and it clears away what no Kubernetes object owns (`components.helm`,
`components.mirrors`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mesh import strict_yaml

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, ApiException

_JSON = "application/json"
# How most objects are changed; the other way is Kubernetes' own, which knows what tells entries of lists apart.
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

# Seconds that a cluster has to answer.
REQUEST_TIMEOUT_S = 30.0
# Of threads that want the same kubeconfig, one reads it.
_KUBECONFIG_LOCK = Lock()


@dataclass(frozen=True, kw_only=True)
class Access:
    """A way to a cluster."""

    context: str
    kubeconfig: str = field(default="", repr=False)  # a path, or the content of a file; empty: as kubectl finds it


def access_from_props(props: Mapping[str, Any]) -> Access:
    """The way that a dynamic resource was given (see `components.cluster.Cluster.way`)."""
    return Access(context=props["context"], kubeconfig=props.get("kubeconfig") or "")


@cache
def api_client(access: Access) -> ApiClient:
    """A client, made once for each way.

    Raises:
        kubernetes.config.ConfigException: the kubeconfig has no such context, or can't be used.
    """
    from kubernetes import config  # half a second to import, and most previews don't need it

    if access.kubeconfig and not _is_path(access.kubeconfig):
        with _KUBECONFIG_LOCK:
            content = _parse_kubeconfig(access.kubeconfig)
        return config.new_client_from_config_dict(content, context=access.context)
    from kubernetes.client import ApiClient, Configuration

    files = access.kubeconfig or config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    with _KUBECONFIG_LOCK:
        merged = _load_merged_kubeconfig(files, _file_stamps(files))
    loader = config.kube_config.KubeConfigLoader(
        merged.config, active_context=access.context, config_persister=merged.save_changes
    )
    chosen = Configuration()
    loader.load_and_set(chosen)
    return ApiClient(configuration=chosen)


@cache
def _parse_kubeconfig(content: str) -> Any:
    return strict_yaml.load(content)


@cache
def _load_merged_kubeconfig(files: str, _seen: tuple[tuple[int, int], ...]) -> Any:
    """A kubeconfig, or a list of them as `$KUBECONFIG` has it, read once as long as they stay as they are.

    The client's own way would read all of it anew for each context: with hundreds, most of a preview.
    """
    from kubernetes import config

    found = config.kube_config.KubeConfigMerger(files)
    if found.config is None:
        raise config.ConfigException("no kubeconfig was found")
    return found


def _file_stamps(files: str) -> tuple[tuple[int, int], ...]:
    paths = [Path(file).expanduser() for file in files.split(os.pathsep) if file]
    return tuple((found.st_mtime_ns, found.st_size) for found in (path.stat() for path in paths if path.exists()))


def _is_path(kubeconfig: str) -> bool:
    return "\n" not in kubeconfig and not kubeconfig.lstrip().startswith("{") and Path(kubeconfig).exists()


def request(
    api: ApiClient,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    form: str = MERGE_PATCH,
    accept: str = _JSON,
    timeout: float | tuple[float, float] = REQUEST_TIMEOUT_S,
) -> dict[str, Any] | None:
    """What an API server answers, as plain JSON; None where there is no such object.

    The client's own calls need a class for each kind there is, which take a second to import, and refuse a whole object
    for one field that they don't expect.

    Args:
        api: a client of the cluster.
        method: of HTTP.
        path: what is asked for, with a query if there is one.
        body: what is sent.
        form: of a PATCH, by its media type.
        accept: in which form the answer is wanted.
        timeout: seconds for the answer, or for the connection and for the answer.

    Raises:
        kubernetes.client.ApiException: the API server refuses.
        urllib3.exceptions.HTTPError: it can't be reached, or doesn't answer.
    """
    from kubernetes.client import ApiException

    headers = {"Accept": accept}
    if body is not None:
        headers["Content-Type"] = form if method == "PATCH" else _JSON
    request = api.param_serialize(method, path, header_params=headers, body=body, auth_settings=["BearerToken"])
    response = api.call_api(*request, _request_timeout=timeout)
    response.read()
    if response.status == HTTPStatus.NOT_FOUND:
        return None
    if not 200 <= response.status < 300:
        raise ApiException(http_resp=response)
    answered: dict[str, Any] = json.loads(response.data)
    return answered


def list_objects(
    api: ApiClient,
    path: str,
    selector: str = "",
    *,
    accept: str = _JSON,
    timeout: float | tuple[float, float] = REQUEST_TIMEOUT_S,
) -> list[dict[str, Any]]:
    """The objects of a kind; none where there is no such kind. Raises as `ask` does.

    Args:
        api: a client of the cluster.
        path: the kind's.
        selector: the labels that they have.
        accept, timeout: as of `ask`.
    """
    wanted = f"{path}?labelSelector={quote(selector)}" if selector else path
    found = request(api, "GET", wanted, accept=accept, timeout=timeout) or {}
    return list(found.get("items") or ())


def error_message(error: ApiException) -> str:
    """Why an API server refuses."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, LookupError, TypeError):
        return str(error.reason)
