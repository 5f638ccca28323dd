"""Invariants of a log of changes: at no moment do the objects of a mesh lose requests.

All of them follow from three rules:

* An object that refers to another is created after that one is usable, and deleted before it stops being usable.
* An object that permits is created before one that restricts, and deleted after it.
* A replacement is ready before the old object is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mesh.kube.constants import CLUSTER_NAME_LABEL, MULTICLUSTER_NAMESPACE
from tests.helpers.event_log import EventLog, ObjectKey
from tests.helpers.mesh_view import ANY_CLIENT, MeshView, ServedPort, ServiceName, admits

_TOKEN_PREFIX = "linkerd-service-mirror-remote-access-"
_DEFAULT_TOKEN = f"{_TOKEN_PREFIX}default-token"
_TIMELINE_MARGIN_S = 1.0
_MAX_TIMELINE_LENGTH = 60


class Breach(NamedTuple):
    """A broken invariant at one moment."""

    cluster: str
    namespace: str
    subject: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class InvariantViolation:
    """A broken invariant, and the time during which it was broken."""

    breach: Breach
    begin_s: float
    end_s: float

    def __str__(self) -> str:
        cluster, namespace, subject, sentence = self.breach
        return f"{self.begin_s:.2f}-{self.end_s:.2f} s: {cluster}: {subject} in {namespace}: {sentence}"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """The mesh at one moment, before the first change and after the last one."""

    now: MeshView
    before: MeshView
    after: MeshView


def find_violations(log: EventLog) -> list[InvariantViolation]:
    """Return all violations of the invariants, in the order of their beginning."""
    before, after = MeshView(log.first_state()), MeshView(log.last_state())
    violations: list[InvariantViolation] = []
    open_since: dict[Breach, float] = {}
    for step in log.replay():
        situation = Situation(now=MeshView(step.state), before=before, after=after)
        breaches = {breach for rule in RULES for breach in rule(situation)}
        for breach in [each for each in open_since if each not in breaches]:
            violations.append(InvariantViolation(breach=breach, begin_s=open_since.pop(breach), end_s=step.begin_s))
        for breach in breaches:
            open_since.setdefault(breach, step.begin_s)
    violations += [
        InvariantViolation(breach=each, begin_s=begin_s, end_s=log.end_s) for each, begin_s in open_since.items()
    ]
    return sorted(violations, key=lambda each: (each.begin_s, each.breach))


def describe_violations(log: EventLog, violations: list[InvariantViolation]) -> str:
    """Return the violations by namespace, each namespace with its changes in that time."""
    lines: list[str] = []
    for namespace in dict.fromkeys(each.breach.namespace for each in violations):
        group = [each for each in violations if each.breach.namespace == namespace]
        begin_s = min(each.begin_s for each in group) - _TIMELINE_MARGIN_S
        end_s = max(each.end_s for each in group) + _TIMELINE_MARGIN_S
        lines += map(str, group)
        changes = [
            event
            for event in log.events
            if event.key.namespace == namespace and event.operation != "listed" and begin_s <= event.arrived_s <= end_s
        ]
        lines += [
            f"    {each.arrived_s:8.3f} s  {each.cluster}: {each.key.resource} {each.key.name} {each.operation}"
            for each in changes[:_MAX_TIMELINE_LENGTH]
        ]
        if len(changes) > _MAX_TIMELINE_LENGTH:
            lines.append(f"    and {len(changes) - _MAX_TIMELINE_LENGTH} more")
    return "\n".join(lines)


def find_unusable_backends(situation: Situation) -> Iterator[Breach]:
    """Find routes with a backend that is not usable while the requests could be answered elsewhere."""
    now = situation.now
    for route in now.routes():
        parents = [service for service, _ in route.parents]
        for backend in route.backends:
            others = [each.service for each in route.backends if each.weight and each.service != backend.service]
            is_needed = backend.weight > 0 or now.find_service(backend.service) is None
            usable = next((each for each in (*others, *parents) if now.is_usable(each)), None)
            if usable is not None and is_needed and not now.is_usable(backend.service):
                sentence = (
                    f"names Service {backend.service.name}, which {now.describe(backend.service)}, while "
                    f"{usable.name} is usable"
                )
                yield Breach(route.cluster, route.key.namespace, f"{route.key.resource} {route.key.name}", sentence)


def find_lost_services(situation: Situation) -> Iterator[Breach]:
    """Find Services that are not usable, but were before and are afterwards; mirrors included."""
    for service in situation.before.services():
        if situation.before.is_usable(service) and situation.after.is_usable(service):
            if not situation.now.is_usable(service):
                sentence = f"{situation.now.describe(service)}, but was usable before and is afterwards"
                yield _service_breach(service, sentence)
        elif situation.after.find_service(service) is not None and situation.now.find_service(service) is None:
            yield _service_breach(service, "does not exist, but did before and does afterwards")


def find_lost_clients(situation: Situation) -> Iterator[Breach]:
    """Find Servers that refuse a client which has access before and afterwards."""
    now, before, after = (view.admitted_clients() for view in (situation.now, situation.before, situation.after))
    for port, admitted in now.items():
        former, future = before.get(port, ANY_CLIENT), after.get(port, ANY_CLIENT)
        lost = sorted(
            client
            for client in former | future
            if admits(former, client) and admits(future, client) and not admits(admitted, client)
        )
        if lost:
            sentence = f"refuses {', '.join(lost)}, admitted before and afterwards"
            yield Breach(port.cluster, port.namespace, _describe_port(port), sentence)


def find_missing_catch_alls(situation: Situation) -> Iterator[Breach]:
    """Find routes for a part of a Service's requests without a route for all the others, which Linkerd then rejects."""
    partial: set[tuple[ServiceName, int]] = set()
    covered: set[tuple[ServiceName, int]] = set()
    for route in situation.now.routes():
        (covered if route.has_catch_all else partial).update(route.parents)
    for service, port in partial - covered:
        if (service, 0) not in covered:
            yield _service_breach(service, f"has routes, but none for all other requests to port {port}")


def find_missing_credentials(situation: Situation) -> Iterator[Breach]:
    """Find Links without their credentials."""
    for cluster in situation.now.clusters:
        for key, body in situation.now.objects(cluster, "links.multicluster.linkerd.io"):
            secret = ObjectKey("secrets", key.namespace, body["spec"].get("clusterCredentialsSecret", ""))
            if situation.now.find(cluster, secret) is None:
                yield Breach(
                    cluster, key.namespace, f"Link {key.name}", f"names Secret {secret.name}, which is missing"
                )


def find_revoked_tokens(situation: Situation) -> Iterator[Breach]:
    """Find tokens that are deleted while the source of their link still uses them."""
    for target in situation.before.clusters:
        for key, _ in situation.before.objects(target, "secrets"):
            if not key.name.startswith(_TOKEN_PREFIX) or key.name == _DEFAULT_TOKEN:
                continue
            source = key.name.removeprefix(_TOKEN_PREFIX).partition(".")[0]
            if situation.now.find(target, key) is None and _uses_old_credentials(situation, source, target):
                yield Breach(
                    target, key.namespace, f"Secret {key.name}", f"is deleted, but {source} still uses its token"
                )


def _uses_old_credentials(situation: Situation, source: str, target: str) -> bool:
    """Return whether a link has its former credentials, or a controller that has read only those."""
    link = ObjectKey("links.multicluster.linkerd.io", MULTICLUSTER_NAMESPACE, target)
    if source not in situation.now.clusters or situation.now.find(source, link) is None:
        return False
    credentials = ObjectKey("secrets", MULTICLUSTER_NAMESPACE, f"cluster-credentials-{target}")
    if situation.now.find(source, credentials) == situation.before.find(source, credentials):
        return True
    return any(
        (body["metadata"].get("labels") or {}).get(CLUSTER_NAME_LABEL) == target
        and situation.before.find(source, key) is not None
        for key, body in situation.now.objects(source, "pods")
    )


def _service_breach(service: ServiceName, sentence: str) -> Breach:
    return Breach(service.cluster, service.namespace, f"Service {service.name}", sentence)


def _describe_port(port: ServedPort) -> str:
    return f"Server of port {port.port} of {port.selector}"


RULES: tuple[Callable[[Situation], Iterator[Breach]], ...] = (
    find_unusable_backends,
    find_lost_services,
    find_lost_clients,
    find_missing_catch_alls,
    find_missing_credentials,
    find_revoked_tokens,
)
