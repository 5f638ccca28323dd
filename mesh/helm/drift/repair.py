"""Repair of a Helm release's objects that drifted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from mesh.helm.drift.detect import RETAINED_KINDS, DriftedObject, find_drift
from mesh.helm.drift.removal import removal_patch, removed_fields, without_lists
from mesh.helm.manifest import manifest_objects
from mesh.kube.client import STRATEGIC_MERGE_PATCH, KubeClient
from mesh.kube.errors import ApiStatusError, to_single_line
from mesh.kube.object_path import ObjectLocator, object_key

# For a kind whose CRD another release is about to create.
KIND_SERVED_TIMEOUT_S = 60
_FIELD_MANAGER_QUERY = "fieldManager=multicluster-mesh-drift-repair"


class RepairError(Exception):
    """An object cannot be repaired; the message has the object, the reason and the remedy."""


def repair_drift(client: KubeClient, namespace: str, release: str) -> list[str]:
    """Repair all objects of a release that drifted, and return a description of each.

    Args:
        client: the cluster's client.
        namespace: namespace of the release.
        release: name of the release.

    Raises:
        RepairError: the API server refuses a repair.
        NotReadableError, ApiUnreachableError, BadCredentialsError: drift cannot be detected.
    """
    deadline = time.monotonic() + KIND_SERVED_TIMEOUT_S
    drifted = find_drift(client, namespace, release)
    while any(each.location is None for each in drifted) and time.monotonic() < deadline:
        time.sleep(1)
        drifted = find_drift(client, namespace, release)
    for each in drifted:
        _repair_object(client, each, f"release {release} in namespace {namespace}")
    return [str(each) for each in drifted]


def _repair_object(client: KubeClient, drifted: DriftedObject, owner: str) -> None:
    subject = f"{drifted.name} of {owner}"
    if drifted.error is not None:
        raise RepairError(f"{subject} cannot be read: {drifted.error}; let the user of the kubeconfig read it")
    if drifted.location is None:
        remedy = "repair the release that creates its CustomResourceDefinition first"
        raise RepairError(f"{subject}: the cluster has no kind {drifted.desired['kind']}; {remedy}")
    body = _drop_nulls({key: value for key, value in drifted.desired.items() if key != "status"})
    try:
        if drifted.fields:
            _patch(client, drifted.location.path, body)
        else:
            client.request("POST", f"{drifted.location.collection}?{_FIELD_MANAGER_QUERY}", body=body)
    except ApiStatusError as error:
        if error.status == HTTPStatus.CONFLICT and not drifted.fields:
            return  # someone else has created it meanwhile; the next refresh compares it
        remedy = "repair it by hand, or delete it and run `pulumi up --refresh`, which creates it again"
        raise RepairError(
            f"{subject} cannot be repaired (HTTP {error.status}: {to_single_line(error.message)}); {remedy}"
        ) from None


def remove_former_fields(client: KubeClient, namespace: str, former: str, current: str) -> list[DriftedObject]:
    """Delete the fields that only a former manifest set, and return the changed objects.

    Args:
        client: the cluster's client.
        namespace: namespace of the release.
        former: the former manifest.
        current: the manifest of the installed release.

    Raises:
        NotReadableError, ApiStatusError, ApiUnreachableError, BadCredentialsError: an object cannot be read or changed.
    """
    desired_objects = {object_key(body, namespace): body for body in manifest_objects(current)}
    locator = ObjectLocator(client)
    changed = []
    for body in manifest_objects(former):
        desired = desired_objects.get(object_key(body, namespace))
        location = locator.find(body, namespace) if desired is not None else None
        if desired is None or location is None or desired["kind"] in RETAINED_KINDS:
            continue
        live = client.get(location.path, f"{body['kind']} {location.name}")
        patch = removal_patch(body, desired, live or {})
        if patch:
            _patch(client, location.path, patch, without_lists(patch))
            changed.append(DriftedObject(desired=desired, location=location, fields=tuple(removed_fields(patch))))
    return changed


def _patch(client: KubeClient, path: str, body: Mapping[str, Any], merge_body: Mapping[str, Any] | None = None) -> None:
    """Send a strategic merge patch, or a merge patch for a kind without merge keys."""
    path = f"{path}?{_FIELD_MANAGER_QUERY}"
    try:
        client.request("PATCH", path, body=body, patch_type=STRATEGIC_MERGE_PATCH)
    except ApiStatusError as error:
        if error.status != HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            raise
        # Custom resources have no merge keys and support merge patches only.
        client.request("PATCH", path, body=body if merge_body is None else merge_body)


def _drop_nulls(value: Any) -> Any:
    """Return a value without nulls; in a merge patch, null deletes a field."""
    if isinstance(value, Mapping):
        return {key: _drop_nulls(each) for key, each in value.items() if each is not None}
    return [_drop_nulls(each) for each in value] if isinstance(value, list) else value
