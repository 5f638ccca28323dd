"""Names of all objects in a cluster, to verify that a teardown leaves nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.environment import Environment
from hack.lab.api import ApiClient, ApiError

_POLL_INTERVAL_S, _WARM_TIMEOUT_S = 0.1, 10.0  # seconds
_STORAGE_NOT_READY = 429
# Objects that clusters create themselves all the time.
_TRANSIENT_KINDS = frozenset({"events", "leases", "componentstatuses"})


class LeftoverObjectsError(Exception):
    """A teardown has left objects; the message contains their names."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of object that the API server can list."""

    path: str  # path of the kind, for the whole cluster
    collection: str  # with {namespace} where the kind has one
    api_version: str
    kind: str
    name: str  # plural
    namespaced: bool


def list_kinds(api: ApiClient) -> Iterator[Kind]:
    """Yield every kind that can be listed, in the preferred version of its group."""
    groups = api.get("/apis")["groups"]
    versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]
    yielded_keys: set[tuple[str, str]] = set()
    for version in [*versions, *(v["groupVersion"] for group in groups for v in group["versions"])]:
        root = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        try:
            resources = api.get(root)["resources"]
        except ApiError:
            continue  # its CRD was deleted meanwhile
        for resource in resources:
            key = (version.rpartition("/")[0], resource["name"])
            if "list" not in resource["verbs"] or resource["name"] in _TRANSIENT_KINDS or key in yielded_keys:
                continue
            yielded_keys.add(key)
            middle = "namespaces/{namespace}/" if resource["namespaced"] else ""
            yield Kind(
                path=f"{root}/{resource['name']}",
                collection=f"{root}/{middle}{resource['name']}",
                api_version=version,
                kind=resource["kind"],
                name=resource["name"],
                namespaced=resource["namespaced"],
            )


def list_objects(api: ApiClient) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """Yield every object with its kind."""
    for kind in list_kinds(api):
        try:
            items = api.get(kind.path, timeout=30).get("items") or []
        except ApiError:
            continue  # its CRD was deleted meanwhile
        for item in items:
            yield kind, item


def list_names(lab: Environment, clusters: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return kind, namespace and name of each object, by cluster."""
    return {
        cluster: frozenset(_object_name(*entry) for entry in list_objects(lab.api(cluster))) for cluster in clusters
    }


def warm_storage(lab: Environment, clusters: Iterable[str]) -> None:
    """Read every kind once before a teardown, outside the measured time.

    Kubernetes' garbage collector does the same every 30 s. The API server can delay the deletion of a CRD that has
    never been read by up to five minutes (https://github.com/operator-framework/operator-controller/issues/1437).
    """
    for api in map(lab.api, clusters):
        for kind in list_kinds(api):
            deadline = time.monotonic() + _WARM_TIMEOUT_S
            while not _is_read(api, kind) and time.monotonic() < deadline:
                time.sleep(_POLL_INTERVAL_S)


def wait_until_none(lab: Environment, before: Mapping[str, frozenset[str]], seconds: float) -> None:
    """Wait until each cluster has exactly the objects that it had before.

    Raises:
        LeftoverObjectsError: a cluster differs after this number of seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        live = list_names(lab, before)
        differing = {cluster: live[cluster] ^ before[cluster] for cluster in before}
        if not any(differing.values()):
            return
        if time.monotonic() > deadline:
            descriptions = (
                f"{cluster}: {', '.join(sorted(names)[:20])}" for cluster, names in differing.items() if names
            )
            raise LeftoverObjectsError("; ".join(descriptions))
        time.sleep(_POLL_INTERVAL_S)


def _is_read(api: ApiClient, kind: Kind) -> bool:
    try:
        api.get(kind.path, limit="1")
    except ApiError as error:
        return error.status != _STORAGE_NOT_READY
    return True


def _object_name(kind: Kind, item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    return f"{kind.name}/{metadata.get('namespace', '')}/{metadata['name']}"
