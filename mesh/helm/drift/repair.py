"""Making objects again as Helm has made them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mesh.helm.drift.detect import Amiss, look
from mesh.kube import client as kube_client
from mesh.preflight.api import Api

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

# Seconds for an answer; for a kind that another release is about to bring; until what was mended is ready, as Helm's.
ANSWERS_WITHIN = 30
KINDS_COME_WITHIN = 60
READY_WITHIN = 300
_MANAGER = "fieldManager=multicluster-mesh-upkeep"


class MendError(Exception):
    """Something can't be mended; the message says what, why and what to do."""


def mend(client: ApiClient, namespace: str, release: str, *, wait: bool) -> list[str]:
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
    api = Api(client, ANSWERS_WITHIN)
    deadline = time.monotonic() + KINDS_COME_WITHIN
    found = look(api, namespace, release)
    while any(each.place is None for each in found) and time.monotonic() < deadline:
        time.sleep(1)
        found = look(api, namespace, release)
    for each in found:
        _mend(client, each, f"release {release} in namespace {namespace}")
    if wait:
        _await(api, found)
    return [str(each) for each in found]


def _mend(client: ApiClient, amiss: Amiss, release: str) -> None:
    from kubernetes.client import ApiException

    what = f"{amiss.name} of {release}"
    if amiss.unseen is not None:
        raise MendError(f"{what} can't be looked at: {amiss.unseen}; let the user of the kubeconfig read it")
    if amiss.place is None:
        remedy = "mend what brings its CustomResourceDefinition first"
        raise MendError(f"{what}: the cluster has no kind {amiss.wanted['kind']}; {remedy}")
    body = _without_nothing({key: value for key, value in amiss.wanted.items() if key != "status"})
    try:
        if amiss.fields:
            _patch(client, amiss.place.path, body)
        else:
            kube_client.ask(client, "POST", f"{amiss.place.collection}?{_MANAGER}", body=body, timeout=ANSWERS_WITHIN)
    except ApiException as error:
        if error.status == HTTPStatus.CONFLICT and not amiss.fields:
            return  # somebody else was faster; the next refresh sees what it is like
        remedy = "mend it by hand, or delete it, and run `pulumi up --refresh` again, which makes it anew"
        raise MendError(
            f"{what} can't be mended (HTTP {error.status}: {kube_client.reason(error)}); {remedy}"
        ) from None


def _patch(client: ApiClient, path: str, body: Mapping[str, Any]) -> None:
    """Merge what is wanted into an object."""
    from kubernetes.client import ApiException

    where = f"{path}?{_MANAGER}"
    try:
        kube_client.ask(
            client, "PATCH", where, body=body, form=kube_client.STRATEGIC_MERGE_PATCH, timeout=ANSWERS_WITHIN
        )
    except ApiException as error:
        if error.status != HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            raise
        # A kind that a CustomResourceDefinition has brought.
        kube_client.ask(client, "PATCH", where, body=body, timeout=ANSWERS_WITHIN)


def _without_nothing(value: Any) -> Any:
    """A value without what is null, which a merge would take for a wish to delete."""
    if isinstance(value, Mapping):
        return {key: _without_nothing(each) for key, each in value.items() if each is not None}
    return [_without_nothing(each) for each in value] if isinstance(value, list) else value


def _await(api: Api, mended: Iterable[Amiss]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    waiting = [each for each in mended if each.place is not None]
    while waiting := [each for each in waiting if not _is_ready(_live(api, each))]:
        if time.monotonic() > deadline:
            names = ", ".join(each.name for each in waiting)
            raise MendError(f"{names}: mended, and not ready after {READY_WITHIN} seconds; look why (kubectl describe)")
        time.sleep(0.5)


def _live(api: Api, amiss: Amiss) -> Mapping[str, Any]:
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
