"""Wait until Services can answer requests, before something refers to them.

A Service is usable if one of its endpoints is ready. A mirror without a gateway has no endpoints: Linkerd's control
plane reads the target's pods. A federated service is usable for a member once the annotations of the service list it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, KubeClient
from mesh.kube.constants import REMOTE_DISCOVERY
from mesh.kube.errors import ApiUnreachableError, KubeError
from mesh.kube.federated_services import parse_members
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.watch import Collection, ObjectName, Snapshot, Watches
from mesh.readiness.wait import RETRY_REMEDY

FIRST_REPORT_S = 5.0
_SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_RETRY_DELAY_S = 1.0

_Objects = Mapping[ObjectName, Mapping[str, Any]]


class ServicesNotUsableError(Exception):
    """Services cannot answer in time; the message has each Service and the reason."""


@dataclass(frozen=True, kw_only=True)
class RequiredService:
    """A Service that must be able to answer."""

    namespace: str
    name: str
    origin: str  # controller that creates the Service or its endpoints, for messages
    member: tuple[str, str] | None = None  # member of the federated service: names of the service and of its cluster
    needs_endpoint: bool = True  # False: the Service must only exist


def wait_for_usable_services(
    client: KubeClient,
    services: Sequence[RequiredService],
    *,
    subject: str,
    began: float,
    timeout_s: float,
    limit: str,
    report: Callable[[str], None],
) -> None:
    """Wait until all services can answer requests.

    Args:
        client: the cluster's client.
        services: the services.
        subject: the waiting object, for messages.
        began: start of the wait, a value of `time.monotonic()`.
        timeout_s: seconds to wait.
        limit: setting with the time limit, for the remedy.
        report: called with a status line after five seconds, and after each change of it.

    Raises:
        ServicesNotUsableError: a service cannot answer in time, or the services may not be read.
    """
    if not services:
        return
    with Watches(client) as watches:
        collections = _list_collections(watches, services, subject=subject, deadline=began + timeout_s)
        watches.start()
        status = ""
        while faults := _find_faults(services, watches.snapshots, collections):
            elapsed_s = time.monotonic() - began
            if elapsed_s >= timeout_s:
                raise ServicesNotUsableError(_format_error(subject, faults, timeout_s, limit))
            if elapsed_s >= FIRST_REPORT_S and (line := f"{subject}: waiting for {'; '.join(faults)}") != status:
                status = line
                report(line)
            next_report_s = FIRST_REPORT_S if elapsed_s < FIRST_REPORT_S else timeout_s
            watches.wait_for_change(min(next_report_s, timeout_s) - elapsed_s)


def _format_error(subject: str, faults: Iterable[str], timeout_s: float, limit: str) -> str:
    lines = [f"{subject}: requests would fail, after {timeout_s:g} s of waiting:"]
    return "\n".join([*lines, *(f"  {each}" for each in faults), f"{RETRY_REMEDY}; {limit} sets the time limit"])


def _list_collections(
    watches: Watches, services: Sequence[RequiredService], *, subject: str, deadline: float
) -> dict[str, tuple[Collection, Collection]]:
    """List the Services and the EndpointSlices of each namespace, and return their collections."""
    collections: dict[str, tuple[Collection, Collection]] = {}
    for namespace in dict.fromkeys(each.namespace for each in services):
        names = sorted({each.name for each in services if each.namespace == namespace})
        path = quote(namespace, safe="")
        collections[namespace] = (
            Collection(
                path=f"/api/v1/namespaces/{path}/services",
                field_selector=f"metadata.name={names[0]}" if len(names) == 1 else "",
                accept=METADATA_LIST_MEDIA_TYPE,
            ),
            Collection(
                path=f"/apis/discovery.k8s.io/v1/namespaces/{path}/endpointslices",
                label_selector=f"{_SERVICE_NAME_LABEL} in ({','.join(names)})",
            ),
        )
    for pair in collections.values():
        for collection in pair:
            _list_collection(watches, collection, subject, deadline)
    return collections


def _list_collection(watches: Watches, collection: Collection, subject: str, deadline: float) -> None:
    while True:
        try:
            watches.add(collection)
            return
        except ApiUnreachableError as error:
            if time.monotonic() >= deadline:
                raise ServicesNotUsableError(f"{subject}: {error}; {RETRY_REMEDY}") from None
            time.sleep(_RETRY_DELAY_S)
        except KubeError as error:
            remedy = "let the cluster's user list and watch Services and EndpointSlices"
            raise ServicesNotUsableError(f"{subject}: {error}; {remedy}") from None


def _find_faults(
    services: Sequence[RequiredService],
    snapshots: Mapping[Collection, Snapshot],
    collections: Mapping[str, tuple[Collection, Collection]],
) -> list[str]:
    """Return why services cannot answer, one sentence each."""
    faults: list[str] = []
    for service in services:
        live, slices = (snapshots[each].objects for each in collections[service.namespace])
        fault = find_fault(service, live, slices)
        if fault is not None:
            faults.append(f"Service {service.namespace}/{service.name}: {fault} ({service.origin})")
    return faults


def find_fault(service: RequiredService, services: _Objects, slices: _Objects) -> str | None:
    """Return why a Service cannot answer requests, or None if it can.

    Args:
        service: the required Service.
        services: the Services of its namespace.
        slices: the EndpointSlices of its namespace.
    """
    live = services.get((service.namespace, service.name))
    if live is None:
        return "does not exist"
    metadata = as_mapping(live, "metadata")
    if service.member is not None:
        name, cluster = service.member
        is_member = service.member in parse_members(as_mapping(metadata, "annotations"))
        return None if is_member else f"does not have {name} of {cluster or 'this cluster'} as a member"
    if not service.needs_endpoint or REMOTE_DISCOVERY in as_mapping(metadata, "labels"):
        return None
    return None if _has_ready_endpoint(service.name, slices) else "has no ready endpoint"


def _has_ready_endpoint(name: str, slices: _Objects) -> bool:
    for each in slices.values():
        labels = as_mapping(as_mapping(each, "metadata"), "labels")
        if as_text(labels.get(_SERVICE_NAME_LABEL)) != name:
            continue
        for endpoint in as_mappings(each.get("endpoints")):
            # An unknown condition counts as ready: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/.
            if as_mapping(endpoint, "conditions").get("ready") is not False:
                return True
    return False
