"""Check of the declared services: they exist, and can be exported, routed and protected as declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.kube.applied_metadata import AppliedMetadata, ForeignKey, find_foreign_keys, list_managers
from mesh.kube.constants import (
    EXPORTED_LABEL,
    FEDERATED_LABEL,
    LOCAL_DISCOVERY,
    MIRRORED_SERVICE_LABEL,
    PROXY_CONFIG_PREFIX,
    REMOTE_DISCOVERY,
)
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_text
from mesh.preflight.declared_target import ServiceTarget
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.service_reader import DeclaredObjects, parse_service
from mesh.preflight.target import CheckTarget
from mesh.service_facts import LiveService
from mesh.service_ports import select_ports

_SKIP_ANNOTATION = f"{PROXY_CONFIG_PREFIX}skip-inbound-ports"


def check(target: CheckTarget, live: DeclaredObjects) -> Iterator[Finding]:
    """Yield findings about the declared services of a cluster.

    Args:
        target: the cluster.
        live: the declared Services and namespaces that exist.
    """
    for service in target.declared.services:
        body = live.services.get((service.namespace, service.name))
        if body is None:
            if not service.is_optional:
                yield _check_missing(target, service, live)
        else:
            yield from _check_existing(target, service, body)
    yield from _check_shared_pods(target, live)
    yield from _check_mirror_names(target, live)


def _check_missing(target: CheckTarget, service: ServiceTarget, live: DeclaredObjects) -> Finding:
    namespace = service.namespace
    rule = "does not exist"
    if namespace not in live.namespaces:
        is_created = namespace in target.declared.created_namespaces
        reason = (
            f"the stack creates its namespace {namespace}" if is_created else f"neither does its namespace {namespace}"
        )
        rule = f"does not exist, and {reason}"
    remedy = f"deploy it, correct {service.path}.clusters, or set {service.path}.optional: true"
    return _finding(service, target.name, rule, remedy)


def _check_existing(target: CheckTarget, service: ServiceTarget, body: Mapping[str, Any]) -> Iterator[Finding]:
    metadata, facts = as_mapping(dict(body), "metadata"), parse_service(body)
    service_type = as_text(as_mapping(dict(body), "spec").get("type"))
    if _is_mirror(metadata):
        remedy = "name the Service in the cluster that exports it"
        yield _finding(service, target.name, "is a mirror, which Linkerd creates and deletes", remedy)
        return
    if metadata.get("deletionTimestamp"):
        yield _finding(service, target.name, "is being deleted", "create it again, or remove the entry")
        return
    if service_type == "ExternalName":
        rule = "is an alias of another host (type ExternalName), which has no endpoints to mirror or to route to"
        yield _finding(service, target.name, rule, "name the Service that it stands for")
        return
    yield from _check_ports(target, service, facts)
    if service.has_policy and not facts.selector:
        rule = "has no selector, and Linkerd's policies select pods"
        yield _finding(service, target.name, rule, f"remove {service.path}.allow, or give the Service a selector")
    if service.has_policy:
        yield from _check_skipped_ports(target, service, facts)
    if service.is_split and facts.is_headless:
        rule = "is headless, so clients connect to its pods, and Linkerd applies no split or failover to them"
        yield _finding(service, target.name, rule, "remove splits and failover, or use a Service with a cluster IP")
    if not target.adopt:
        yield from _check_labels(target, service, metadata)


def _check_ports(target: CheckTarget, service: ServiceTarget, facts: LiveService) -> Iterator[Finding]:
    live_ports = [port.port for port in facts.ports]
    names = ", ".join(map(str, live_ports)) or "none"
    for port in service.ports:
        if port.port not in live_ports:
            yield Finding(
                path=f"{service.path}.ports",
                value=str(port.port),
                rule=f"{target.name} has no such TCP port of this service",
                remedy=f"choose from its ports: {names}",
                severity=Severity.ERROR,
            )
    needs_ports = service.needs_endpoints or service.has_policy
    if needs_ports and not live_ports:
        rule = "has no TCP port, and Linkerd handles only TCP"
        yield _finding(service, target.name, rule, "remove the entry, or the cluster from it")
    selected = select_ports(service.ports, facts)
    if service.needs_http and selected and all(port.protocol == "tcp" for port in selected):
        rule = "has no port for HTTP or gRPC, and splits, failover and profiles apply to their requests only"
        remedy = f"choose `form: smi` for a split, or correct the protocol in {service.path}.ports"
        yield _finding(service, target.name, rule, remedy)


def _check_skipped_ports(target: CheckTarget, service: ServiceTarget, facts: LiveService) -> Iterator[Finding]:
    """Yield a finding for each port with a policy that the pods' proxies do not receive."""
    ranges = [
        each.partition("-")[::2]
        for namespace in target.declared.namespaces
        if namespace.name == service.namespace
        for each in namespace.annotations.get(_SKIP_ANNOTATION, "").split(",")
        if each
    ]
    for port in select_ports(service.ports, facts):
        number = port.target
        if isinstance(number, int) and any(int(first) <= number <= int(last or first) for first, last in ranges):
            rule = f"requests to its port {number} bypass the proxy, so the policy has no effect there"
            remedy = f"remove it from namespaces.{service.namespace}.skipInboundPorts, or from {service.path}.ports"
            yield _finding(service, target.name, rule, remedy)


def _check_labels(target: CheckTarget, service: ServiceTarget, metadata: Mapping[str, Any]) -> Iterator[Finding]:
    for label in (EXPORTED_LABEL, FEDERATED_LABEL):
        manager = f"{target.identity.field_manager}-{label.rpartition('/')[2]}"
        remedy = (
            f"run `kubectl --context … -n {service.namespace} label service {service.name} {label}-`, remove it where "
            f"it comes from, or set {target.path}.adopt: true"
        )
        if label in service.labels:
            applied = AppliedMetadata(
                cluster=target.name,
                kind="Service",
                namespace=service.namespace,
                name=service.name,
                labels={label: service.labels[label]},
                field_manager=manager,
            )
            for foreign in find_foreign_keys(metadata, applied):
                yield _finding(service, target.name, str(foreign), remedy)
            continue
        value = as_text(as_mapping(metadata.get("labels")).get(label))
        managers = [each for each in list_managers(metadata, "labels", label) if each != manager]
        if value and managers and service.labels:
            foreign_key = ForeignKey(kind="label", key=label, value=value, managers=tuple(managers))
            yield _finding(service, target.name, f"{foreign_key}, and contradicts the entry", remedy)


def _check_shared_pods(target: CheckTarget, live: DeclaredObjects) -> Iterator[Finding]:
    """Yield a finding for each service whose pods and port another one protects already."""
    owners: dict[tuple[object, ...], ServiceTarget] = {}
    for service in target.declared.services:
        body = live.services.get((service.namespace, service.name))
        if body is None or not service.has_policy:
            continue
        facts = parse_service(body)
        for port in select_ports(service.ports, facts) if facts.selector else []:
            key = (service.namespace, tuple(sorted(facts.selector.items())), str(port.target))
            other = owners.setdefault(key, service)
            if other is not service:
                rule = (
                    f"selects the same pods as {other.key}, and Linkerd applies only one Server to their port "
                    f"{to_single_line(port.target, 63)}"
                )
                yield _finding(service, target.name, rule, f"move its clients to {other.path}.allow")
                break


def _check_mirror_names(target: CheckTarget, live: DeclaredObjects) -> Iterator[Finding]:
    """Yield a finding for each mirror whose name another owner's Service has: Linkerd would not create it."""
    for mirror in target.declared.mirrors:
        body = live.services.get((mirror.namespace, mirror.name))
        if body is not None and not _is_mirror(as_mapping(dict(body), "metadata")):
            yield Finding(
                path=f"services.{mirror.service}",
                value=target.name,
                rule=f"has a Service {mirror.namespace}/{mirror.name} of another owner, so Linkerd cannot create this "
                f"mirror for {mirror.target}",
                remedy="rename or delete that Service, or export the service under another name",
                severity=Severity.ERROR,
            )


def _is_mirror(metadata: Mapping[str, Any]) -> bool:
    labels, annotations = as_mapping(metadata.get("labels")), as_mapping(metadata.get("annotations"))
    return (
        MIRRORED_SERVICE_LABEL in labels
        or REMOTE_DISCOVERY in labels
        or not {REMOTE_DISCOVERY, LOCAL_DISCOVERY}.isdisjoint(annotations)
    )


def _finding(service: ServiceTarget, cluster: str, rule: str, remedy: str) -> Finding:
    return Finding(path=service.path, value=cluster, rule=rule, remedy=remedy, severity=Severity.ERROR)
