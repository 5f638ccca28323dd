"""Finding what isn't as Helm has made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from urllib.parse import quote

from mesh import strict_yaml
from mesh.concurrency import run_concurrently
from mesh.helm import release_storage
from mesh.helm.drift.diff import differing_fields
from mesh.kube import ownership
from mesh.preflight.api import ClusterApi, NotReadableError

# Charts' CRDs are long.
_LIMITS = strict_yaml.Limits(size=64 * 2**20, values=2_000_000)
# How many objects are asked for at a time, and seconds for the next answer.
_MAX_CONCURRENT_REQUESTS = 5
_CHECK_TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True)
class ObjectPath:
    """Where the API server has the objects of a kind, and one of them."""

    collection: str
    name: str

    @property
    def path(self) -> str:
        """The path of the object."""
        return f"{self.collection}/{quote(self.name, safe='')}"


@dataclass(frozen=True, kw_only=True)
class DriftedObject:
    """An object of a release that is missing, or that differs."""

    wanted: Mapping[str, Any] = field(repr=False)
    place: ObjectPath | None  # None: the cluster doesn't know its kind
    fields: tuple[str, ...] = ()  # those that differ; none: it is missing
    error: str | None = None  # why nobody knows

    @property
    def name(self) -> str:
        """What it is called."""
        metadata = self.wanted["metadata"]
        return f"{self.wanted['kind']} {metadata['name']}"

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.name} can't be looked at: {self.error}"
        return f"{self.name}: {', '.join(self.fields)}" if self.fields else f"{self.name} is missing"


def find_drift(api: ClusterApi, namespace: str, release: str) -> list[DriftedObject]:
    """The objects of a release that aren't as Helm has made them, in the order in which Helm makes them.

    Nothing, where Helm has no record of a release that it has installed: what to do there, Pulumi sees itself.

    Args:
        api: the cluster.
        namespace: the release's.
        release: its name.

    Raises:
        preflight.api.Unseen: Helm's record can't be looked at.
        strict_yaml.StrictYamlError: Helm's manifest can't be read.
        preflight.trouble.Unanswered, preflight.trouble.Unusable: nothing can.
    """
    record = release_storage.read_latest_revision(api, namespace, release)
    if record is None:
        return []
    wanted = [
        _with_ownership_metadata(body, ownership.helm_ownership_metadata(release, namespace))
        for body in _manifest_objects(record.manifest)
    ]
    served = cache(partial(_served_kinds, api))
    jobs = [
        partial(_find_object_drift, api, body, object_path(served(body["apiVersion"]), body, namespace))
        for body in wanted
    ]
    found = run_concurrently(jobs, patience=_CHECK_TIMEOUT_S, threads=_MAX_CONCURRENT_REQUESTS)
    return [each for each in found if each is not None]


def object_path(served: Mapping[str, tuple[str, bool]], body: Mapping[str, Any], namespace: str) -> ObjectPath | None:
    """Where an object is; None where the API server doesn't know its kind.

    Args:
        served: the kinds of its API version.
        body: the object.
        namespace: its own, if it names none.
    """
    if body["kind"] not in served:
        return None
    plural, namespaced = served[body["kind"]]
    metadata = body["metadata"]
    within = f"/namespaces/{quote(str(metadata.get('namespace') or namespace), safe='')}" if namespaced else ""
    return ObjectPath(collection=f"{_api_root(body['apiVersion'])}{within}/{plural}", name=str(metadata["name"]))


def _manifest_objects(manifest: str) -> Iterable[dict[str, Any]]:
    for document in strict_yaml.load_all(manifest, _LIMITS):
        if isinstance(document, dict) and document.get("kind") and document.get("metadata"):
            yield document


def _with_ownership_metadata(body: Mapping[str, Any], additions: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    metadata = body["metadata"]
    marked = {key: {**(metadata.get(key) or {}), **added} for key, added in additions.items()}
    return {**body, "metadata": {**metadata, **marked}}


def _served_kinds(api: ClusterApi, version: str) -> Mapping[str, tuple[str, bool]]:
    """The kinds of an API version: the name of each in paths, and whether its objects are in namespaces."""
    found = (api.get(_api_root(version), f"which kinds {version} has") or {}).get("resources") or ()
    return {each["kind"]: (each["name"], bool(each["namespaced"])) for each in found if "/" not in each["name"]}


def _api_root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _find_object_drift(api: ClusterApi, wanted: Mapping[str, Any], place: ObjectPath | None) -> DriftedObject | None:
    live = None
    if place is not None:
        try:
            live = api.get(place.path, f"{wanted['kind']} {place.name}")
        except NotReadableError as error:
            return DriftedObject(wanted=wanted, place=place, error=str(error))
    if live is None:
        return DriftedObject(wanted=wanted, place=place)
    fields = tuple(differing_fields(wanted, live))
    return DriftedObject(wanted=wanted, place=place, fields=fields) if fields else None
