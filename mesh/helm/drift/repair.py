"""Making objects again as Helm has made them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mesh.helm.drift.detect import DriftedObject, find_drift
from mesh.kube import client as kube_client
from mesh.preflight.api import ClusterApi

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# Seconds for an answer; for a kind that another release is about to bring; until what was mended is ready, as Helm's.
REQUEST_TIMEOUT_S = 30
KIND_SERVED_TIMEOUT_S = 60
READY_TIMEOUT_S = 300
_FIELD_MANAGER_QUERY = "fieldManager=multicluster-mesh-drift-repair"


class RepairError(Exception):
    """Something can't be mended; the message says what, why and what to do."""


def repair_drift(client: ApiClient, namespace: str, release: str, *, wait: bool) -> list[str]:
    """Mend all objects of a release that are missing or differ; what was mended.

    Args:
        client: of the cluster.
        namespace: the release's.
        release: its name.
        wait: whether to wait until what was mended is ready.

    Raises:
        MendError: the API server refuses it, or it doesn't become ready.
        preflight.api.Unseen, preflight.trouble.Unanswered, preflight.trouble.Unusable: see `look`.
    """
    api = ClusterApi(client, REQUEST_TIMEOUT_S)
    deadline = time.monotonic() + KIND_SERVED_TIMEOUT_S
    found = find_drift(api, namespace, release)
    while any(each.place is None for each in found) and time.monotonic() < deadline:
        time.sleep(1)
        found = find_drift(api, namespace, release)
    for each in found:
        _repair_object(client, each, f"release {release} in namespace {namespace}")
    if wait:
        _wait_until_ready(api, found)
    return [str(each) for each in found]


def _repair_object(client: ApiClient, amiss: DriftedObject, release: str) -> None:
    from kubernetes.client import ApiException

    what = f"{amiss.name} of {release}"
    if amiss.error is not None:
        raise RepairError(f"{what} can't be looked at: {amiss.error}; let the user of the kubeconfig read it")
    if amiss.place is None:
        remedy = "mend what brings its CustomResourceDefinition first"
        raise RepairError(f"{what}: the cluster has no kind {amiss.wanted['kind']}; {remedy}")
    body = _drop_nulls({key: value for key, value in amiss.wanted.items() if key != "status"})
    try:
        if amiss.fields:
            _patch(client, amiss.place.path, body)
        else:
            kube_client.request(
                client, "POST", f"{amiss.place.collection}?{_FIELD_MANAGER_QUERY}", body=body, timeout=REQUEST_TIMEOUT_S
            )
    except ApiException as error:
        if error.status == HTTPStatus.CONFLICT and not amiss.fields:
            return  # somebody else was faster; the next refresh sees what it is like
        remedy = "mend it by hand, or delete it, and run `pulumi up --refresh` again, which makes it anew"
        raise RepairError(
            f"{what} can't be mended (HTTP {error.status}: {kube_client.error_message(error)}); {remedy}"
        ) from None


def _patch(client: ApiClient, path: str, body: Mapping[str, Any]) -> None:
    """Merge what is wanted into an object."""
    from kubernetes.client import ApiException

    where = f"{path}?{_FIELD_MANAGER_QUERY}"
    try:
        kube_client.request(
            client, "PATCH", where, body=body, form=kube_client.STRATEGIC_MERGE_PATCH, timeout=REQUEST_TIMEOUT_S
        )
    except ApiException as error:
        if error.status != HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            raise
        # A kind that a CustomResourceDefinition has brought.
        kube_client.request(client, "PATCH", where, body=body, timeout=REQUEST_TIMEOUT_S)


def _drop_nulls(value: Any) -> Any:
    """A value without what is null, which a merge would take for a wish to delete."""
    if isinstance(value, Mapping):
        return {key: _drop_nulls(each) for key, each in value.items() if each is not None}
    return [_drop_nulls(each) for each in value] if isinstance(value, list) else value


def _wait_until_ready(api: ClusterApi, mended: Iterable[DriftedObject]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    waiting = [each for each in mended if each.place is not None]
    while waiting := [each for each in waiting if not _is_ready(_read_live(api, each))]:
        if time.monotonic() > deadline:
            names = ", ".join(each.name for each in waiting)
            raise RepairError(
                f"{names}: mended, and not ready after {READY_TIMEOUT_S} seconds; look why (kubectl describe)"
            )
        time.sleep(0.5)


def _read_live(api: ClusterApi, amiss: DriftedObject) -> Mapping[str, Any]:
    assert amiss.place is not None, "what has no place isn't waited for"
    return api.get(amiss.place.path, amiss.name) or {}


def _is_ready(live: Mapping[str, Any]) -> bool:
    spec, status = live.get("spec") or {}, live.get("status") or {}
    seen = status.get("observedGeneration", 0) >= (live.get("metadata") or {}).get("generation", 0)
    match live.get("kind"):
        case "Deployment" | "StatefulSet":
            ready = min(status.get("updatedReplicas") or 0, status.get("availableReplicas") or 0)
            return bool(seen and ready >= spec.get("replicas", 1))
        case "DaemonSet":
            return bool(seen and status.get("numberAvailable", 0) >= status.get("desiredNumberScheduled", 0))
        case "Service" if spec.get("type") == "LoadBalancer":
            return bool((status.get("loadBalancer") or {}).get("ingress"))
    return True
