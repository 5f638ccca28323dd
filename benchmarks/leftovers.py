"""Everything that a cluster has, by name: what a teardown must bring back to what it was."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.environment import Environment
from hack.lab.api import ApiClient, ApiError

_EVERY, _WARM_WITHIN = 0.1, 10.0  # seconds
_NOT_READY = 429
# What clusters write by themselves, all the time.
_PASSING = frozenset({"events", "leases", "componentstatuses"})


class LeftoverObjectsError(Exception):
    """A teardown that leaves something; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of object that an API server lists."""

    path: str  # of all objects of the kind in the cluster
    collection: str  # with {namespace} where the kind has one
    api_version: str
    kind: str
    name: str  # plural
    namespaced: bool


def kinds(api: ApiClient) -> Iterator[Kind]:
    """Every kind that can be listed, in each group in the version that the group prefers."""
    groups = api.get("/apis")["groups"]
    versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]
    seen: set[tuple[str, str]] = set()
    for version in [*versions, *(v["groupVersion"] for group in groups for v in group["versions"])]:
        root = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        try:
            resources = api.get(root)["resources"]
        except ApiError:
            continue  # its CRD went meanwhile
        for found in resources:
            key = (version.rpartition("/")[0], found["name"])
            if "list" not in found["verbs"] or found["name"] in _PASSING or key in seen:
                continue
            seen.add(key)
            middle = "namespaces/{namespace}/" if found["namespaced"] else ""
            yield Kind(
                path=f"{root}/{found['name']}",
                collection=f"{root}/{middle}{found['name']}",
                api_version=version,
                kind=found["kind"],
                name=found["name"],
                namespaced=found["namespaced"],
            )


def listed(api: ApiClient) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """Every object, with its kind."""
    for kind in kinds(api):
        try:
            items = api.get(kind.path, timeout=30).get("items") or []
        except ApiError:
            continue  # its CRD went meanwhile
        for item in items:
            yield kind, item


def names(ground: Environment, clusters: Iterable[str]) -> dict[str, frozenset[str]]:
    """Kind, namespace and name of each object, by cluster."""
    return {cluster: frozenset(_called(*found) for found in listed(ground.api(cluster))) for cluster in clusters}


def warm(ground: Environment, clusters: Iterable[str]) -> None:
    """Have every kind read once, before a teardown and off its clock, as Kubernetes' garbage collector does every 30 s.

    A CRD that goes before it was ever read may stay for up to five minutes: the API server finds its storage not ready,
    and may forget to look again (https://github.com/operator-framework/operator-controller/issues/1437).
    """
    for api in map(ground.api, clusters):
        for kind in kinds(api):
            deadline = time.monotonic() + _WARM_WITHIN
            while not _is_read(api, kind) and time.monotonic() < deadline:
                time.sleep(_EVERY)


def wait_until_none(ground: Environment, before: Mapping[str, frozenset[str]], seconds: float) -> None:
    """Return as soon as each cluster has what it had before, and nothing else.

    Raises:
        SomethingLeft: it hasn't within these seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        now = names(ground, before)
        differing = {cluster: now[cluster] ^ before[cluster] for cluster in before}
        if not any(differing.values()):
            return
        if time.monotonic() > deadline:
            left = (f"{cluster}: {', '.join(sorted(found)[:20])}" for cluster, found in differing.items() if found)
            raise LeftoverObjectsError("; ".join(left))
        time.sleep(_EVERY)


def _is_read(api: ApiClient, kind: Kind) -> bool:
    try:
        api.get(kind.path, limit="1")
    except ApiError as error:
        return error.status != _NOT_READY
    return True


def _called(kind: Kind, item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    return f"{kind.name}/{metadata.get('namespace', '')}/{metadata['name']}"
