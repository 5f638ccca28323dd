"""Check for routes, profiles and policies of other owners that would conflict with those of the stack.

Two splits of one service, two profiles with its name, or two Servers for its pods: Linkerd applies one of each, or
refuses the second. So the stack does not add one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mesh.kube.client import KubeClient
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.kube.ownership import GATEWAY_API_GROUP
from mesh.preflight.declared_target import ServiceTarget
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.service_reader import DeclaredObjects, parse_service
from mesh.preflight.target import CheckTarget
from mesh.service_facts import LiveService
from mesh.service_ports import select_ports

_Object = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _RuleKind:
    """A kind of objects that name a Service or select its pods."""

    kind: str
    paths: tuple[str, ...]  # API version and plural, of each group that can have the kind
    applies_to: Callable[[_Object, ServiceTarget, LiveService], bool]
    belongs_to_policy: bool = False  # whether `allow` creates such objects; otherwise splits, failover or profile

    @property
    def setting(self) -> str:
        return "allow" if self.belongs_to_policy else _ROUTE_SETTINGS

    def is_declared(self, service: ServiceTarget) -> bool:
        return service.has_policy if self.belongs_to_policy else service.has_routes


def _is_split(body: _Object, service: ServiceTarget, _live: LiveService) -> bool:
    return as_text(as_mapping(dict(body), "spec").get("service")) == service.name


def _is_route(body: _Object, service: ServiceTarget, _live: LiveService) -> bool:
    parents = as_mappings(as_mapping(dict(body), "spec").get("parentRefs"))
    return any(
        each.get("kind") == "Service"
        and each.get("name") == service.name
        and each.get("namespace") in (None, service.namespace)
        for each in parents
    )


def _is_profile(body: _Object, service: ServiceTarget, _live: LiveService) -> bool:
    name = as_text(as_mapping(dict(body), "metadata").get("name"))
    return name.startswith(f"{service.name}.{service.namespace}.svc.")


def _is_server(body: _Object, service: ServiceTarget, live: LiveService) -> bool:
    spec = as_mapping(dict(body), "spec")
    ports = {str(port.target) for port in select_ports(service.ports, live)}
    labels = as_mapping(spec, "podSelector", "matchLabels")
    return bool(live.selector) and labels == dict(live.selector) and str(spec.get("port")) in ports


# Server of `linkerd viz allow-scrapes`.
_METRICS_SERVER = "proxy-admin"
_ROUTE_SETTINGS = "splits, failover or profile"
_SERVERS = _RuleKind(
    kind="Server", paths=("policy.linkerd.io/v1beta1/servers",), applies_to=_is_server, belongs_to_policy=True
)
_KINDS = (
    _RuleKind(kind="TrafficSplit", paths=("split.smi-spec.io/v1alpha1/trafficsplits",), applies_to=_is_split),
    _RuleKind(
        kind="HTTPRoute",
        paths=(f"{GATEWAY_API_GROUP}/v1beta1/httproutes", "policy.linkerd.io/v1beta2/httproutes"),
        applies_to=_is_route,
    ),
    _RuleKind(kind="GRPCRoute", paths=(f"{GATEWAY_API_GROUP}/v1/grpcroutes",), applies_to=_is_route),
    _RuleKind(kind="ServiceProfile", paths=("linkerd.io/v1alpha2/serviceprofiles",), applies_to=_is_profile),
    _SERVERS,
)


def check(target: CheckTarget, live: DeclaredObjects, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding for each conflicting object of another owner.

    Args:
        target: the cluster.
        live: the declared Services and namespaces that exist.
        client: the cluster's client.
    """
    for kind in _KINDS:
        for service in target.declared.services:
            body = live.services.get((service.namespace, service.name))
            if body is None or not kind.is_declared(service):
                continue
            facts = parse_service(body)
            for rule in _list_rules(client, kind, service.namespace):
                if kind.applies_to(rule, service, facts) and not _is_own(rule, target.identity.field_manager):
                    yield _finding(target, service, kind, as_mapping(dict(rule), "metadata"))
    for namespace in target.declared.namespaces_with_metrics_access:
        if not target.adopt:
            yield from _check_metrics_access(target, namespace, client)


def _check_metrics_access(target: CheckTarget, namespace: str, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding if another owner has created the objects of `linkerd viz allow-scrapes`."""
    for server in _list_rules(client, _SERVERS, namespace):
        metadata = as_mapping(dict(server), "metadata")
        if metadata.get("name") != _METRICS_SERVER or _is_own(server, target.identity.field_manager):
            continue
        managers = " and ".join(_managers(metadata)) or "another program"
        rule = f"has the Server {namespace}/{_METRICS_SERVER}, set by {managers}, which the stack creates for viz"
        remedy = (
            f"run `linkerd --context … viz allow-scrapes -n {namespace} | kubectl --context … delete -f -`, or set "
            f"{target.path}.adopt: true"
        )
        yield target.finding(rule, remedy)


def _list_rules(client: KubeClient, kind: _RuleKind, namespace: str) -> Iterator[_Object]:
    for path in kind.paths:
        group, _, plural = path.rpartition("/")
        response = client.get(
            f"/apis/{group}/namespaces/{quote(namespace, safe='')}/{plural}", f"{plural} of namespace {namespace}"
        )
        yield from as_mappings((response or {}).get("items"))


def _is_own(body: _Object, field_manager: str) -> bool:
    return field_manager in _managers(as_mapping(dict(body), "metadata"))


def _managers(metadata: Mapping[str, Any]) -> list[str]:
    entries = as_mappings(metadata.get("managedFields"))
    return list(dict.fromkeys(to_single_line(as_text(entry.get("manager")), 128) for entry in entries))


def _finding(target: CheckTarget, service: ServiceTarget, kind: _RuleKind, metadata: Mapping[str, Any]) -> Finding:
    name = to_single_line(as_text(metadata.get("name")), 127)
    managers = " and ".join(_managers(metadata)) or "another program"
    subject = "its pods" if kind.kind == "Server" else "this service"
    return Finding(
        path=service.path,
        value=target.name,
        rule=f"{kind.kind} {service.namespace}/{name}, set by {managers}, is for {subject} too",
        remedy=f"delete it, or remove {kind.setting} from the entry",
        severity=Severity.ERROR,
    )
