"""Check of the declared namespaces: they exist, and their annotations have one owner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.kube.applied_metadata import AppliedMetadata, find_foreign_keys
from mesh.kube.constants import INJECT_ANNOTATION, NAMESPACE_MANAGER_SUFFIX
from mesh.kube.json_access import as_mapping
from mesh.kube.terminating_namespaces import is_terminating
from mesh.preflight.declared_target import NamespaceTarget
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.service_reader import DeclaredObjects
from mesh.preflight.target import CheckTarget

# The chart excludes namespaces with this label from the proxy injector.
_WEBHOOKS_LABEL = "config.linkerd.io/admission-webhooks"


def check(target: CheckTarget, live: DeclaredObjects) -> Iterator[Finding]:
    """Yield findings about the declared namespaces of a cluster, and about those that mirrors need.

    Args:
        target: the cluster.
        live: the declared Services and namespaces that exist.
    """
    for namespace in target.declared.namespaces:
        body = live.namespaces.get(namespace.name)
        if body is not None:
            yield from _check_existing(target, namespace, body)
        elif not namespace.is_optional and not namespace.is_created:
            path = namespace.path
            remedy = f"create it, set {path}.create: true, or remove the cluster from {path}.clusters"
            yield _finding(path, target.name, "does not exist", remedy)
    yield from _check_terminating(target, live)
    for mirror in target.declared.mirrors:
        name = mirror.namespace
        if name not in {*live.namespaces, *target.declared.created_namespaces}:
            rule = f"has no namespace {name} for the mirror of {mirror.service} from {mirror.target}"
            remedy = f"create it there, or set `namespaces.{name}: {{ clusters: [{target.name}], create: true }}`"
            yield _finding(f"services.{mirror.service}", target.name, rule, remedy)


def _check_terminating(target: CheckTarget, live: DeclaredObjects) -> Iterator[Finding]:
    """Yield a finding for each service in a terminating namespace, in which no rules can be created."""
    # The namespaces of the stack have findings of their own.
    names = {*(each.name for each in target.declared.namespaces), *target.declared.created_namespaces}
    for service in target.declared.services:
        body = live.namespaces.get(service.namespace)
        has_service = (service.namespace, service.name) in live.services
        if has_service and service.namespace not in names and body is not None and is_terminating(body):
            remedy = "wait until the namespace is gone, create it and the Service again, or remove the entry"
            yield _finding(service.path, target.name, f"its namespace {service.namespace} is being deleted", remedy)


def _check_existing(target: CheckTarget, namespace: NamespaceTarget, body: Mapping[str, Any]) -> Iterator[Finding]:
    if is_terminating(body):
        if namespace.is_created:
            return
        rule, remedy = "is being deleted", "wait until it is gone, create it again, or remove the entry"
        yield _finding(namespace.path, target.name, rule, remedy)
        return
    is_ignored = as_mapping(dict(body), "metadata", "labels").get(_WEBHOOKS_LABEL) == "disabled"
    if is_ignored and namespace.annotations.get(INJECT_ANNOTATION) == "enabled":
        rule = f"has the label {_WEBHOOKS_LABEL}: disabled, so its pods get no proxy"
        yield _finding(namespace.path, target.name, rule, "remove the label, or set meshed: false")
    if target.adopt or namespace.is_created or not namespace.annotations:
        return
    metadata = AppliedMetadata(
        cluster=target.name,
        kind="Namespace",
        name=namespace.name,
        annotations=namespace.annotations,
        field_manager=f"{target.identity.field_manager}-{NAMESPACE_MANAGER_SUFFIX}",
    )
    for foreign in find_foreign_keys(as_mapping(dict(body), "metadata"), metadata):
        remedy = f"remove it there, remove the setting, or set {target.path}.adopt: true to take it over"
        yield _finding(namespace.path, target.name, str(foreign), remedy)


def _finding(path: str, value: str, rule: str, remedy: str) -> Finding:
    return Finding(path=path, value=value, rule=rule, remedy=remedy, severity=Severity.ERROR)
