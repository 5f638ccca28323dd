"""Logs of changes that tests write by hand, and the objects in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.helpers.event_log import Event, EventLog, ObjectKey, Operation

_POLICY = "policy.linkerd.io"
_RESOURCES = {
    "AuthorizationPolicy": f"authorizationpolicies.{_POLICY}",
    "EndpointSlice": "endpointslices.discovery.k8s.io",
    "HTTPRoute": "httproutes.gateway.networking.k8s.io",
    "Link": "links.multicluster.linkerd.io",
    "MeshTLSAuthentication": f"meshtlsauthentications.{_POLICY}",
    "Pod": "pods",
    "Secret": "secrets",
    "Server": f"servers.{_POLICY}",
    "ServerAuthorization": f"serverauthorizations.{_POLICY}",
    "Service": "services",
    "TrafficSplit": "trafficsplits.split.smi-spec.io",
}
NAMESPACE = "test"

ScriptObject = dict[str, Any]
# Cluster, operation and object; each change is a second after the last one.
ScriptChange = tuple[str, Operation, ScriptObject]


def script_log(before: Mapping[str, Sequence[ScriptObject]], *changes: ScriptChange) -> EventLog:
    """Return the log of changes to the objects of each cluster.

    Args:
        before: the objects of each cluster before the first change.
        changes: the changes in their order.
    """
    events = [
        _event(cluster, "listed", each, 0, version)
        for cluster, objects in before.items()
        for version, each in enumerate(objects, 1)
    ]
    events += [
        _event(cluster, operation, each, second, 1000 + second)
        for second, (cluster, operation, each) in enumerate(changes, 1)
    ]
    return EventLog.from_events(events, list(before), len(changes) + 1)


def _event(cluster: str, operation: Operation, body: ScriptObject, second: int, version: int) -> Event:
    metadata = body["metadata"]
    key = ObjectKey(_RESOURCES[body["kind"]], metadata["namespace"], metadata["name"])
    return Event(cluster=cluster, arrived_s=second, version=version, operation=operation, key=key, body=body)


def script_object(
    kind: str,
    name: str,
    spec: Mapping[str, Any] | None = None,
    *,
    namespace: str = NAMESPACE,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **fields: Any,
) -> ScriptObject:
    """Return an object with the fields that the invariants read; `fields` are further ones next to its spec."""
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": dict(labels or {}),
        "annotations": dict(annotations or {}),
    }
    return {"kind": kind, "metadata": metadata, "spec": dict(spec or {}), **fields}


def service(name: str, namespace: str = NAMESPACE, **labels: str) -> ScriptObject:
    """Return a Service."""
    return script_object("Service", name, namespace=namespace, labels=labels)


def endpoints(name: str, *, is_ready: bool = True, namespace: str = NAMESPACE) -> ScriptObject:
    """Return the EndpointSlice of a Service with one endpoint."""
    return script_object(
        "EndpointSlice",
        f"{name}-slice",
        namespace=namespace,
        labels={"kubernetes.io/service-name": name},
        endpoints=[{"addresses": ["10.1.0.1"], "conditions": {"ready": is_ready}}],
    )


def route(name: str, rule: Mapping[str, Any], parent: str = "podinfo") -> ScriptObject:
    """Return an HTTPRoute of a Service with one rule."""
    return script_object(
        "HTTPRoute", name, {"parentRefs": [{"kind": "Service", "name": parent, "port": 80}], "rules": [rule]}
    )


def weighted_route(**weights: int) -> ScriptObject:
    """Return an HTTPRoute with a weight per backend."""
    backends = [{"name": name.replace("_", "-"), "port": 80, "weight": weight} for name, weight in weights.items()]
    return route("podinfo", {"backendRefs": backends})
