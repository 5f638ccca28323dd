"""Check for probes that a policy would refuse, so that the pods would never be ready again.

The kubelet has no identity. Linkerd authorizes plain HTTP probes by their paths, which are in the pod, except on opaque
ports. Neither gRPC nor HTTPS probes are authorized.

Follows https://linkerd.io/2/reference/authorization-policy/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mesh.config.models.services import PortProtocol
from mesh.kube.client import KubeClient
from mesh.kube.constants import INJECT_ANNOTATION, PROXY_CONFIG_PREFIX
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.preflight.declared_target import NamespaceTarget, ServiceTarget
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.service_reader import DeclaredObjects, list_pods, parse_service
from mesh.preflight.target import CheckTarget
from mesh.proxied_workloads import PROXY_CONTAINER, has_proxy
from mesh.service_facts import LiveService
from mesh.service_ports import ServicePort, select_ports

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_POLICY_ANNOTATION = f"{PROXY_CONFIG_PREFIX}default-inbound-policy"
# Default policies that allow no client without an identity.
_REFUSING_POLICIES = ("deny", "all-authenticated", "cluster-authenticated")
_MAX_PODS_OF_NAMESPACE = 500

_Pod = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Probe:
    """A probe that the kubelet sends to a port of a pod."""

    kind: str  # gRPC, HTTP or HTTPS
    port: int


@dataclass(frozen=True, kw_only=True)
class _ProtectedPods:
    """The pods and ports that a service protects."""

    facts: LiveService
    ports: tuple[ServicePort, ...]


def check(target: CheckTarget, live: DeclaredObjects, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding for each declared service and namespace whose policy would refuse a probe.

    Args:
        target: the cluster.
        live: the declared Services and namespaces that exist.
        client: the cluster's client.
    """
    protected: dict[str, list[_ProtectedPods]] = {}
    for service in target.declared.services:
        body = live.services.get((service.namespace, service.name))
        facts = parse_service(body) if body is not None else None
        if facts is not None and facts.selector and service.has_policy:
            pods = _ProtectedPods(facts=facts, ports=tuple(select_ports(service.ports, facts)))
            protected.setdefault(service.namespace, []).append(pods)
            yield from _check_service(target, service, pods, client)
    for namespace in target.declared.namespaces:
        is_refusing = namespace.annotations.get(_POLICY_ANNOTATION) in _REFUSING_POLICIES
        if is_refusing and namespace.name in live.namespaces:
            body = live.namespaces[namespace.name]
            yield from _check_namespace(target, namespace, body, protected.get(namespace.name, ()), client)


def _check_service(
    target: CheckTarget, service: ServiceTarget, pods: _ProtectedPods, client: KubeClient
) -> Iterator[Finding]:
    for pod in list_pods(client, service.key, service.namespace, pods.facts):
        protocols = {number: port.protocol for port in pods.ports for number in _resolve_port(pod, port.target)}
        for probe in _list_probes(pod):
            if probe.port not in protocols:
                continue
            reason = _find_reason(probe, protocols[probe.port], allows_networks=service.allows_networks)
            if reason is not None:
                rule, remedy = reason
                yield Finding(
                    path=f"{service.path}.allow",
                    value=target.name,
                    rule=f"its pods have {_describe(probe)}, and {rule}",
                    remedy=remedy,
                    severity=Severity.ERROR,
                )
                return


def _find_reason(probe: _Probe, protocol: PortProtocol, *, allows_networks: bool) -> tuple[str, str] | None:
    """Return why the policy of a port refuses a probe, and the remedy; None if it does not."""
    if probe.kind == "HTTP" and protocol in ("http2", "grpc"):
        rule = f"the policy would refuse it, because the port's protocol is {protocol}, and the kubelet sends HTTP/1"
        return rule, "use an exec probe, a probe of another port, or another protocol"
    if allows_networks:
        return None
    remedy = "add `{ networks: [<networks of the nodes>] }` to allow, or use an exec probe"
    if probe.kind == "gRPC":
        return "the policy would refuse it, because the kubelet has no identity", remedy
    if probe.kind == "HTTPS" or protocol == "tcp":
        return "the policy would refuse it, because Linkerd cannot read its path", remedy
    return None


def _check_namespace(
    target: CheckTarget,
    namespace: NamespaceTarget,
    body: Mapping[str, Any],
    protected: Sequence[_ProtectedPods],
    client: KubeClient,
) -> Iterator[Finding]:
    """Yield a finding if the default policy of a namespace would refuse a probe on a port without a policy."""
    policy = namespace.annotations[_POLICY_ANNOTATION]
    live_policy = _annotations(body).get(_POLICY_ANNOTATION)
    path = f"/api/v1/namespaces/{quote(namespace.name, safe='')}/pods?limit={_MAX_PODS_OF_NAMESPACE}"
    for pod in as_mappings((client.get(path, f"the pods of namespace {namespace.name}") or {}).get("items")):
        # Another value is the pod's own.
        has_policy = _annotations(pod).get(_POLICY_ANNOTATION) in (None, live_policy, policy)
        if not has_policy or not _is_meshed(pod, namespace):
            continue
        ports = {port for pods in protected for port in _list_protected_ports(pod, pods)}
        for probe in _list_probes(pod):
            # The opaque ports of a pod are not considered: they depend on Linkerd's defaults too.
            if probe.kind != "HTTP" and probe.port not in ports:
                name = to_single_line(as_text(as_mapping(pod, "metadata").get("name")), 253)
                yield Finding(
                    path=f"{namespace.path}.defaultInboundPolicy",
                    value=policy,
                    rule=f"in {target.name}, pod {name} has {_describe(probe)}, and the policy would refuse it, "
                    "because the kubelet has no identity",
                    remedy="use an exec or plain HTTP probe, or declare its service with allow and the networks of the "
                    "nodes",
                    # With the annotation, the pods that are not ready are no result of this update.
                    severity=Severity.WARNING if live_policy == policy else Severity.ERROR,
                )
                return


def _annotations(body: Mapping[str, Any]) -> dict[str, Any]:
    return as_mapping(dict(body), "metadata", "annotations")


def _is_meshed(pod: _Pod, namespace: NamespaceTarget) -> bool:
    """Return whether a pod has a proxy, or its successors get one by the annotation of the namespace."""
    if has_proxy(as_mapping(pod, "spec")):
        return True
    is_excluded = _annotations(pod).get(INJECT_ANNOTATION) == "disabled"
    return namespace.annotations.get(INJECT_ANNOTATION) == "enabled" and not is_excluded


def _list_protected_ports(pod: _Pod, protected: _ProtectedPods) -> Iterator[int]:
    """Yield the ports of a pod with the policy of a service, if the service selects the pod."""
    if protected.facts.selector.items() <= as_mapping(pod, "metadata", "labels").items():
        for port in protected.ports:
            yield from _resolve_port(pod, port.target)


def _list_containers(pod: _Pod) -> list[dict[str, Any]]:
    spec = as_mapping(pod, "spec")
    # An init container with `restartPolicy: Always` is a sidecar, and can have probes.
    return [*as_mappings(spec.get("containers")), *as_mappings(spec.get("initContainers"))]


def _resolve_port(pod: _Pod, port: object) -> list[int]:
    """Return the numbers of a port, which can be a name in several containers."""
    if isinstance(port, int):
        return [port]
    ports = [each for container in _list_containers(pod) for each in as_mappings(container.get("ports"))]
    numbers = [each.get("containerPort") for each in ports if each.get("name") == port]
    return [number for number in numbers if isinstance(number, int)]


def _list_probes(pod: _Pod) -> Iterator[_Probe]:
    for container in _list_containers(pod):
        if container.get("name") == PROXY_CONTAINER:
            continue
        for key in _PROBES:
            grpc_port = as_mapping(container, key, "grpc").get("port")
            if isinstance(grpc_port, int):
                yield _Probe(kind="gRPC", port=grpc_port)
            http = as_mapping(container, key, "httpGet")
            for port in _resolve_port(pod, http.get("port")):
                yield _Probe(kind="HTTPS" if http.get("scheme") == "HTTPS" else "HTTP", port=port)


def _describe(probe: _Probe) -> str:
    return f"{'a gRPC' if probe.kind == 'gRPC' else f'an {probe.kind}'} probe on port {probe.port}"
