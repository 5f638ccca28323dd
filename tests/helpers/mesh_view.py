"""View of the objects of a mesh at one moment: usable services, routes, and the clients that Servers admit.

The program has rules of its own on usable services. This view does not use them, because it tests them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mesh.kube.constants import (
    CLUSTER_NAME_LABEL,
    LINK_GROUP,
    MIRRORED_SERVICE_LABEL,
    MULTICLUSTER_NAMESPACE,
    REMOTE_DISCOVERY,
)
from mesh.kube.federated_services import parse_members
from tests.helpers.event_log import Body, MeshState, ObjectKey

_GATEWAY = "linkerd-gateway"
# https://docs.cilium.io/en/stable/network/clustermesh/services/
_GLOBAL_ANNOTATION, _SHARED_ANNOTATION = "service.cilium.io/global", "service.cilium.io/shared"
# Labels of a mirror without a gateway, and of the credentials with which the control plane finds its pods.
_REMOTE_SERVICE_LABEL = f"{LINK_GROUP}/remote-service"
_CREDENTIALS_LABEL = f"{LINK_GROUP}/cluster-name"
_ROUTES = (
    "httproutes.gateway.networking.k8s.io",
    "httproutes.policy.linkerd.io",
    "grpcroutes.gateway.networking.k8s.io",
)
_TRAFFIC_SPLITS = "trafficsplits.split.smi-spec.io"

# Admits every client, also without TLS, as a port without a Server does.
UNAUTHENTICATED = "unauthenticated"
UNAUTHENTICATED_TLS = "unauthenticatedTLS"
ANY_CLIENT = frozenset({UNAUTHENTICATED})


class ServiceName(NamedTuple):
    """A Service of one cluster."""

    cluster: str
    namespace: str
    name: str


@dataclass(frozen=True, kw_only=True)
class RouteBackend:
    """A backend of a route or of a TrafficSplit."""

    service: ServiceName
    weight: int


@dataclass(frozen=True, kw_only=True)
class Route:
    """An object that decides where the requests to a Service go."""

    cluster: str
    key: ObjectKey
    parents: tuple[tuple[ServiceName, int], ...]  # with their ports; 0: all ports
    backends: tuple[RouteBackend, ...]
    has_catch_all: bool


class ServedPort(NamedTuple):
    """A port of pods that a Server selects."""

    cluster: str
    namespace: str
    selector: str
    port: str


class MeshView:
    """Objects of a mesh at one moment."""

    def __init__(self, state: MeshState) -> None:
        self._state = state
        self._by_resource: dict[tuple[str, str], dict[ObjectKey, Body]] = defaultdict(dict)
        for cluster, objects in state.items():
            for key, body in objects.items():
                self._by_resource[cluster, key.resource][key] = body
        self._ready = {
            ServiceName(
                cluster, key.namespace, body["metadata"].get("labels", {}).get("kubernetes.io/service-name", "")
            )
            for cluster in state
            for key, body in self.objects(cluster, "endpointslices.discovery.k8s.io")
            if any(_is_ready(endpoint) for endpoint in body.get("endpoints") or ())
        }

    @property
    def clusters(self) -> Collection[str]:
        """Return the names of the clusters."""
        return self._state.keys()

    def objects(self, cluster: str, resource: str) -> Iterator[tuple[ObjectKey, Body]]:
        """Return the objects of one kind."""
        return iter(self._by_resource[cluster, resource].items())

    def find(self, cluster: str, key: ObjectKey) -> Body | None:
        """Return an object, or None if it does not exist."""
        return self._state[cluster].get(key)

    def services(self) -> Iterator[ServiceName]:
        """Yield all Services."""
        for cluster in self._state:
            for key, _ in self.objects(cluster, "services"):
                yield ServiceName(cluster, key.namespace, key.name)

    def find_service(self, service: ServiceName) -> Body | None:
        """Return a Service, or None if it does not exist."""
        return self.find(service.cluster, ObjectKey("services", service.namespace, service.name))

    def is_usable(self, service: ServiceName) -> bool:
        """Return whether a Service has a ready endpoint that can be reached."""
        body = self.find_service(service)
        if body is None:
            return False
        metadata = body["metadata"]
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        if target := labels.get(REMOTE_DISCOVERY):
            name = labels.get(_REMOTE_SERVICE_LABEL, service.name.removesuffix(f"-{target}"))
            return self._is_remote_usable(service, name, target)
        if members := parse_members(annotations):
            return any(
                self._is_remote_usable(service, name, cluster)
                if cluster
                else self.is_usable(service._replace(name=name))
                for name, cluster in members
            )
        if annotations.get(_GLOBAL_ANNOTATION) == "true":
            return any(self._is_shared_with(service, cluster) for cluster in self._state)
        if MIRRORED_SERVICE_LABEL in labels and not self._is_gateway_ready(labels.get(CLUSTER_NAME_LABEL, "")):
            return False
        return service in self._ready

    def describe(self, service: ServiceName) -> str:
        """Return why a Service is not usable."""
        return "does not exist" if self.find_service(service) is None else "has no ready endpoint"

    def _is_remote_usable(self, service: ServiceName, name: str, target: str) -> bool:
        if target not in self._state:
            return True  # a cluster outside of the recording
        has_credentials = any(
            (body["metadata"].get("labels") or {}).get(_CREDENTIALS_LABEL) == target
            for _, body in self.objects(service.cluster, "secrets")
        )
        return has_credentials and self.is_usable(ServiceName(target, service.namespace, name))

    def _is_shared_with(self, service: ServiceName, cluster: str) -> bool:
        """Return whether the pods of a cluster answer requests to a global service of Cilium."""
        other = service._replace(cluster=cluster)
        body = self.find_service(other)
        annotations = (body["metadata"].get("annotations") or {}) if body is not None else {}
        is_shared = annotations.get(_GLOBAL_ANNOTATION) == "true" and annotations.get(_SHARED_ANNOTATION) != "false"
        return other in self._ready and (cluster == service.cluster or is_shared)

    def _is_gateway_ready(self, target: str) -> bool:
        return target not in self._state or ServiceName(target, MULTICLUSTER_NAMESPACE, _GATEWAY) in self._ready

    def routes(self) -> Iterator[Route]:
        """Yield all routes and TrafficSplits."""
        for cluster in self._state:
            for resource in _ROUTES:
                for key, body in self.objects(cluster, resource):
                    yield _read_route(cluster, key, body["spec"])
            for key, body in self.objects(cluster, _TRAFFIC_SPLITS):
                yield _read_traffic_split(cluster, key, body["spec"])

    def admitted_clients(self) -> dict[ServedPort, frozenset[str]]:
        """Return the clients that each Server admits at its port; a port without a Server is not included."""
        ports: dict[ServedPort, frozenset[str]] = {}
        for cluster in self._state:
            for key, body in self.objects(cluster, "servers.policy.linkerd.io"):
                spec = body["spec"]
                selector = json.dumps(spec.get("podSelector") or {}, sort_keys=True)
                port = ServedPort(cluster, key.namespace, selector, str(spec.get("port")))
                ports[port] = ports.get(port, frozenset()) | self._clients(cluster, key, body)
        return ports

    def _clients(self, cluster: str, server: ObjectKey, body: Body) -> frozenset[str]:
        clients: set[str] = set()
        for key, authorization in self.objects(cluster, "serverauthorizations.policy.linkerd.io"):
            spec = authorization["spec"]
            if key.namespace == server.namespace and _selects(spec["server"], server.name, body):
                clients |= _authorized_clients(spec["client"], key.namespace)
        for key, policy in self.objects(cluster, "authorizationpolicies.policy.linkerd.io"):
            spec = policy["spec"]
            target = spec["targetRef"]
            names = {"Server": server.name, "Namespace": server.namespace}
            if key.namespace == server.namespace and names.get(target["kind"]) == target["name"]:
                clients |= self._authenticated_clients(cluster, key.namespace, spec["requiredAuthenticationRefs"])
        return frozenset(clients)

    def _authenticated_clients(self, cluster: str, namespace: str, references: list[dict[str, Any]]) -> frozenset[str]:
        """Return the clients that pass all authentications; one that does not exist admits no client."""
        clients = ANY_CLIENT
        for reference in references:
            other_namespace = reference.get("namespace", namespace)
            if reference["kind"] == "ServiceAccount":
                passing = frozenset({f"{reference['name']}.{other_namespace}"})
            else:
                resource = "meshtlsauthentications.policy.linkerd.io"
                body = self.find(cluster, ObjectKey(resource, other_namespace, reference["name"]))
                passing = _identities(body["spec"], other_namespace) if body is not None else frozenset()
            clients = frozenset(
                client for client in passing | clients if admits(passing, client) and admits(clients, client)
            )
        return clients


def admits(clients: frozenset[str], client: str) -> bool:
    """Return whether a set of clients includes one; `*` at the beginning of an identity matches any."""
    if client in clients or UNAUTHENTICATED in clients:
        return True
    if client == UNAUTHENTICATED:
        return False
    if UNAUTHENTICATED_TLS in clients:
        return True
    patterns = (each.removeprefix("*") for each in clients if each.startswith("*"))
    return client != UNAUTHENTICATED_TLS and any(client.endswith(pattern) for pattern in patterns)


def _is_ready(endpoint: Mapping[str, Any]) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _read_route(cluster: str, key: ObjectKey, spec: Mapping[str, Any]) -> Route:
    def service(reference: Mapping[str, Any]) -> ServiceName:
        return ServiceName(cluster, reference.get("namespace", key.namespace), reference["name"])

    rules = spec.get("rules") or [{}]
    return Route(
        cluster=cluster,
        key=key,
        parents=tuple(
            (service(each), int(each.get("port", 0)))
            for each in spec.get("parentRefs") or ()
            if each.get("kind") == "Service"
        ),
        backends=tuple(
            RouteBackend(service=service(each), weight=int(each.get("weight", 1)))
            for rule in rules
            for each in rule.get("backendRefs") or ()
        ),
        has_catch_all=any(_is_catch_all(rule) for rule in rules),
    )


def _is_catch_all(rule: Mapping[str, Any]) -> bool:
    any_path: tuple[Mapping[str, Any], ...] = ({}, {"path": {"type": "PathPrefix", "value": "/"}})
    return not rule.get("matches") or any(match in any_path for match in rule["matches"])


def _read_traffic_split(cluster: str, key: ObjectKey, spec: Mapping[str, Any]) -> Route:
    return Route(
        cluster=cluster,
        key=key,
        parents=((ServiceName(cluster, key.namespace, spec["service"]), 0),),
        backends=tuple(
            RouteBackend(
                service=ServiceName(cluster, key.namespace, each["service"]),
                weight=int(str(each["weight"]).removesuffix("m")),
            )
            for each in spec["backends"]
        ),
        has_catch_all=True,
    )


def _selects(server: Mapping[str, Any], name: str, body: Body) -> bool:
    if "selector" not in server:
        return bool(server.get("name") == name)
    labels = body["metadata"].get("labels") or {}
    return bool((server["selector"].get("matchLabels") or {}).items() <= labels.items())


def _authorized_clients(client: Mapping[str, Any], namespace: str) -> frozenset[str]:
    mesh_tls = client.get("meshTLS") or {}
    if client.get("unauthenticated"):
        return ANY_CLIENT
    if mesh_tls.get("unauthenticatedTLS"):
        return frozenset({UNAUTHENTICATED_TLS})
    accounts = (f"{each['name']}.{each.get('namespace', namespace)}" for each in mesh_tls.get("serviceAccounts") or ())
    return frozenset({*map(_short, mesh_tls.get("identities") or ()), *accounts})


def _identities(spec: Mapping[str, Any], namespace: str) -> frozenset[str]:
    references = spec.get("identityRefs") or ()
    accounts = (
        f"{each['name']}.{each.get('namespace', namespace)}" for each in references if each["kind"] != "Namespace"
    )
    namespaces = (f"*.{each['name']}" for each in references if each["kind"] == "Namespace")
    return frozenset({*map(_short, spec.get("identities") or ()), *accounts, *namespaces})


def _short(identity: str) -> str:
    """Return an identity in the form of a service account: name and namespace."""
    return identity.partition(".serviceaccount.identity.")[0]
