"""Detection of a Helm release's objects that are missing or differ from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mesh.concurrency import run_concurrently
from mesh.helm import release_storage
from mesh.helm.drift.diff import find_differing_fields
from mesh.helm.manifest import manifest_objects
from mesh.kube import ownership
from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError
from mesh.kube.object_path import ObjectLocator, ObjectPath

_MAX_CONCURRENT_REQUESTS = 5
# Deleting one of these, or its fields, deletes objects and data of others.
RETAINED_KINDS = frozenset({"Namespace", "CustomResourceDefinition", "PersistentVolumeClaim"})
# From one object to the next.
_CHECK_TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True)
class DriftedObject:
    """An object of a release that is missing, differs from the manifest, or cannot be read."""

    desired: Mapping[str, Any] = field(repr=False)
    location: ObjectPath | None  # None: the cluster does not serve its kind
    fields: tuple[str, ...] = ()  # fields that differ; empty if the object is missing
    error: str | None = None  # why it cannot be read

    @property
    def name(self) -> str:
        """Return kind and name for messages."""
        metadata = self.desired["metadata"]
        return f"{self.desired['kind']} {metadata['name']}"

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.name} cannot be read: {self.error}"
        return f"{self.name}: {', '.join(self.fields)}" if self.fields else f"{self.name} is missing"


def find_drift(client: KubeClient, namespace: str, release: str) -> list[DriftedObject]:
    """Return the objects of a release that drifted, in the order in which Helm creates them.

    Return nothing if Helm stores no installed revision: Pulumi handles such a release itself.

    Args:
        client: the cluster's client.
        namespace: namespace of the release.
        release: name of the release.

    Raises:
        NotReadableError: the revision cannot be read.
        StrictYamlError: its manifest cannot be parsed.
        ApiUnreachableError, BadCredentialsError, TimeoutError: nothing can be read.
    """
    revision = release_storage.read_latest_revision(client, namespace, release)
    if revision is None:
        return []
    ownership_metadata = ownership.helm_ownership_metadata(release, namespace)
    manifest = [_with_ownership_metadata(body, ownership_metadata) for body in manifest_objects(revision.manifest)]
    locator = ObjectLocator(client)
    jobs = [partial(_find_object_drift, client, desired, locator.find(desired, namespace)) for desired in manifest]
    results = run_concurrently(jobs, idle_timeout_s=_CHECK_TIMEOUT_S, threads=_MAX_CONCURRENT_REQUESTS)
    return [drifted for drifted in results if drifted is not None]


def _with_ownership_metadata(body: Mapping[str, Any], additions: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    metadata = body["metadata"]
    extended = {key: {**(metadata.get(key) or {}), **added} for key, added in additions.items()}
    return {**body, "metadata": {**metadata, **extended}}


def _find_object_drift(
    client: KubeClient, desired: Mapping[str, Any], location: ObjectPath | None
) -> DriftedObject | None:
    live = None
    if location is not None:
        try:
            live = client.get(location.path, f"{desired['kind']} {location.name}")
        except NotReadableError as error:
            return DriftedObject(desired=desired, location=location, error=str(error))
    if live is None:
        return DriftedObject(desired=desired, location=location)
    fields = tuple(find_differing_fields(desired, live))
    return DriftedObject(desired=desired, location=location, fields=fields) if fields else None
