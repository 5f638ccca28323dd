"""Labels and annotations that a stack sets on objects of other owners.

Server-side apply with a field manager of the stack's own changes only the declared keys, and removes only these. A key
that another manager has set to another value is a conflict.

Follows https://kubernetes.io/docs/reference/using-api/server-side-apply/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from mesh.kube.client import APPLY_PATCH, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.errors import ApiStatusError, to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text


class ObjectNotFoundError(Exception):
    """The object does not exist. Server-side apply would create an incomplete one."""


class MetadataConflictError(Exception):
    """Other field managers have set labels or annotations to other values; the message has each of them."""


@dataclass(frozen=True, kw_only=True)
class AppliedMetadata:
    """Labels and annotations of one object of the core API."""

    cluster: str  # name of the cluster, for messages
    kind: str  # Namespace or Service
    name: str
    namespace: str | None = None  # None for a Namespace
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    field_manager: str
    adopt: bool = False  # whether keys of other managers are taken over

    @property
    def subject(self) -> str:
        """Return the object for messages."""
        name = self.name if self.namespace is None else f"{self.namespace}/{self.name}"
        return f"{self.cluster}: {self.kind} {name}"

    @property
    def path(self) -> str:
        """Return the path of the object."""
        plural = f"{self.kind.lower()}s/{quote(self.name, safe='')}"
        return f"/api/v1/{plural}" if self.namespace is None else f"/api/v1/namespaces/{self.namespace}/{plural}"


@dataclass(frozen=True, kw_only=True)
class ForeignKey:
    """A label or annotation with another value than the declared one."""

    kind: str  # label or annotation
    key: str
    value: str
    managers: tuple[str, ...]

    def __str__(self) -> str:
        managers = " and ".join(self.managers) or "another program"
        value = to_single_line(self.value, 63) or "empty"
        return f"{self.kind} {self.key} is {value}, set by {managers}"


def apply_metadata(client: KubeClient, metadata: AppliedMetadata) -> None:
    """Set the labels and annotations, and remove those that an earlier call has set.

    Args:
        client: the cluster's client.
        metadata: the labels and annotations.

    Raises:
        ObjectNotFoundError: the object does not exist, or is being deleted.
        MetadataConflictError: another field manager has set a key to another value.
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the keys cannot be set.
    """
    live = client.request("GET", metadata.path, accept=METADATA_MEDIA_TYPE)
    if as_mapping(live, "metadata").get("deletionTimestamp"):
        raise ObjectNotFoundError(
            f"{metadata.subject}: is being deleted; wait until it is gone, create it again, and run `pulumi up` again"
        )
    if live is None:
        raise ObjectNotFoundError(
            f"{metadata.subject}: does not exist; create it, or run `pulumi up --refresh` if this stack creates it"
        )
    try:
        _apply(client, metadata, live)
    except ApiStatusError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        live = client.request("GET", metadata.path, accept=METADATA_MEDIA_TYPE)
        if live is None:
            raise ObjectNotFoundError(f"{metadata.subject}: was deleted meanwhile; create it again") from None
        foreign = find_foreign_keys(as_mapping(live, "metadata"), metadata)
        causes = "; ".join(map(str, foreign)) or f"conflict with another program: {to_single_line(error.message)}"
        raise MetadataConflictError(
            f"{metadata.subject}: {causes}; remove it there, remove the setting here, or set "
            f"`clusters.{metadata.cluster}.adopt: true` to take it over"
        ) from None


def remove_metadata(client: KubeClient, metadata: AppliedMetadata) -> None:
    """Remove the labels and annotations that this field manager has set, if the object exists; raise as a request.

    Args:
        client: the cluster's client.
        metadata: the labels and annotations.
    """
    live = client.request("GET", metadata.path, accept=METADATA_MEDIA_TYPE)
    if live is not None:
        _apply(client, metadata, live, is_removal=True)


def read_metadata(client: KubeClient, metadata: AppliedMetadata) -> dict[str, dict[str, str]] | None:
    """Return the live values of the declared keys, `labels` and `annotations`; None if the object does not exist.

    Args:
        client: the cluster's client.
        metadata: the labels and annotations.
    """
    live = client.request("GET", metadata.path, accept=METADATA_MEDIA_TYPE)
    if live is None:
        return None
    return {
        name: {key: as_text(value) for key, value in as_mapping(live, "metadata", name).items() if key in declared}
        for name, declared in (("labels", metadata.labels), ("annotations", metadata.annotations))
    }


def find_foreign_keys(live: Mapping[str, Any], metadata: AppliedMetadata) -> list[ForeignKey]:
    """Return the declared keys that other field managers have set to other values.

    Args:
        live: metadata of the object, with its managed fields.
        metadata: the declared labels and annotations.
    """
    foreign: list[ForeignKey] = []
    for name, declared in (("labels", metadata.labels), ("annotations", metadata.annotations)):
        values = as_mapping(live.get(name))
        for key, value in declared.items():
            managers = [each for each in list_managers(live, name, key) if each != metadata.field_manager]
            if key in values and values[key] != value and managers:
                kind, live_value = name.removesuffix("s"), as_text(values[key])
                foreign.append(ForeignKey(kind=kind, key=key, value=live_value, managers=tuple(managers)))
    return foreign


def list_managers(live: Mapping[str, Any], field_name: str, key: str) -> Sequence[str]:
    """Return the field managers of a label or annotation, from the metadata of its object."""

    def list_all() -> Iterator[str]:
        for entry in as_mappings(live.get("managedFields")):
            if f"f:{key}" in as_mapping(entry.get("fieldsV1"), "f:metadata", f"f:{field_name}"):
                yield to_single_line(as_text(entry.get("manager")), 128)

    return list(dict.fromkeys(list_all()))


def _apply(client: KubeClient, metadata: AppliedMetadata, live: Mapping[str, Any], *, is_removal: bool = False) -> None:
    body: dict[str, Any] = {"name": metadata.name}
    # If the object is deleted meanwhile, the API server refuses the UID, and does not create another object.
    if uid := as_mapping(live.get("metadata")).get("uid"):
        body["uid"] = uid
    if metadata.namespace is not None:
        body["namespace"] = metadata.namespace
    # An empty mapping would remain among the managed fields.
    if metadata.labels and not is_removal:
        body["labels"] = dict(metadata.labels)
    if metadata.annotations and not is_removal:
        body["annotations"] = dict(metadata.annotations)
    query = f"fieldManager={quote(metadata.field_manager, safe='')}"
    if metadata.adopt and not is_removal:
        query += "&force=true"
    content = {"apiVersion": "v1", "kind": metadata.kind, "metadata": body}
    client.request("PATCH", f"{metadata.path}?{query}", body=content, patch_type=APPLY_PATCH)
