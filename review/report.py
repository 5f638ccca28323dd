"""Data of a review, independent of the output format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import policy
from review.changes import ObjectChange, ReleaseChange, ResourceChange
from review.preview import Preview
from review.services import ServiceChange

OPERATIONS = ("create", "update", "replace", "delete")

# Kinds whose deletion deletes more than the object.
_CASCADING_KINDS = {
    "CustomResourceDefinition": "deletes all objects of that kind",
    "Namespace": "deletes all objects in it",
    "PersistentVolume": "deletes its data",
    "PersistentVolumeClaim": "deletes its data, unless the volume is retained",
}
_IRREPLACEABLE_TYPES = {
    "tls:index/privateKey:PrivateKey": "a private key, which cannot be restored",
    "tls:index/selfSignedCert:SelfSignedCert": "a certificate that signs others",
    "tls:index/locallySignedCert:LocallySignedCert": "a certificate",
    "pulumi-python:dynamic/multicluster-mesh:DashboardUser": "a generated password",
}


@dataclass(frozen=True, kw_only=True, order=True)
class Loss:
    """A replacement or deletion that cannot be undone."""

    cluster: str
    what: str
    operation: str  # deleted, replaced
    why: str


@dataclass(frozen=True, kw_only=True)
class CertificateExpiry:
    """A certificate that expires soon."""

    name: str
    time: datetime
    renewed: bool  # this change renews it


@dataclass(frozen=True, kw_only=True)
class PolicyFinding:
    """A policy violation of one resource."""

    mandatory: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """A complete review."""

    stack: str
    clusters: Mapping[str, str | None]  # by name: the reason why the cluster could not be read, or None
    resources: tuple[ResourceChange, ...]
    releases: tuple[ReleaseChange, ...]
    topology: tuple[str | None, str | None] = (None, None)  # Mermaid, before and after
    services: tuple[ServiceChange, ...] = ()
    expiring: tuple[CertificateExpiry, ...] = ()
    expires_within: int = 0  # days
    findings: tuple[PolicyFinding, ...] = ()
    older_findings: int = 0  # violations of unchanged resources
    warnings: tuple[str, ...] = ()
    unchanged: int = 0  # resources

    @property
    def cluster_names(self) -> list[str]:
        """Return all cluster names, then an empty name if a changed resource is on no cluster."""
        changed = {change.cluster for change in self.resources if change.cluster} | {
            each.cluster for each in self.releases
        }
        rest = [""] if any(change.cluster is None for change in self.resources) else []
        return [*sorted({*self.clusters, *changed}), *rest]

    def operations(self, cluster: str | None = None) -> Counter[str]:
        """Return the number of resources per operation, on one cluster or in total."""
        everything: Iterable[ResourceChange | ReleaseChange] = (*self.resources, *self.releases)
        return Counter(each.operation for each in everything if cluster is None or (each.cluster or "") == cluster)

    def objects(self, cluster: str) -> list[ObjectChange]:
        """Return the changes of all objects on a cluster, sorted by identity."""
        changes = [change for release in self.releases if release.cluster == cluster for change in release.objects]
        changes += [each.object for each in self.resources if each.object and (each.cluster or "") == cluster]
        return sorted(changes, key=lambda change: change.identity)

    @property
    def restarts(self) -> list[tuple[str, ObjectChange]]:
        """Return the workloads whose pods restart, with the name of their cluster."""
        return [(name, change) for name in self.cluster_names for change in self.objects(name) if change.restarts]

    @property
    def losses(self) -> list[Loss]:
        """Return replacements and deletions that cannot be undone."""
        losses: set[Loss] = set()
        for name in self.cluster_names:
            for change in self.objects(name):
                if change.verb in ("removed", "replaced") and (why := _find_loss_reason(change)):
                    operation = "deleted" if change.verb == "removed" else "replaced"
                    losses.add(Loss(cluster=name, what=str(change.identity), operation=operation, why=why))
        for resource in self.resources:
            if resource.operation in ("delete", "replace") and resource.type in _IRREPLACEABLE_TYPES:
                operation = "deleted" if resource.operation == "delete" else "replaced"
                why = _IRREPLACEABLE_TYPES[resource.type]
                losses.add(Loss(cluster=resource.cluster or "", what=resource.name, operation=operation, why=why))
        return sorted(losses)


def _find_loss_reason(change: ObjectChange) -> str | None:
    kind = change.identity.kind
    if kind in _CASCADING_KINDS:
        return _CASCADING_KINDS[kind]
    body = change.before or {}
    if kind == "Secret" and body.get("type") == "kubernetes.io/tls":
        return "a key and its certificate"
    if kind in ("Certificate", "Issuer", "ClusterIssuer"):
        return "cert-manager stops renewing the certificates"
    if change.verb == "replaced":
        return "deleted and re-created"
    return None


def check_policies(preview: Preview) -> tuple[list[PolicyFinding], int]:
    """Return the policy violations of changing resources, and the number of violations of unchanged resources."""
    resources, changing = [], set()
    for step in preview.steps:
        if step.after is not None:
            after = step.after
            resources.append(
                policy.PlannedResource(urn=step.urn, type=step.type, properties=after.inputs, provider=after.provider)
            )
            if step.operation != "same":
                changing.add(step.urn)
    violations = policy.find_violations(resources)
    findings = [
        PolicyFinding(mandatory=each.is_mandatory, text=each.line()) for each in violations if each.urn in changing
    ]
    return findings, len(violations) - len(findings)


def find_expiring_certificates(preview: Preview, days: int, now: datetime | None = None) -> list[CertificateExpiry]:
    """Return the certificates in the stack's outputs that expire soon, sorted by time.

    Args:
        preview: the preview.
        days: period in days.
        now: begin of the period; None for the current time.
    """
    step = preview.stack
    outputs = step.before.outputs if step is not None and step.before is not None else {}
    limit = (now or datetime.now(UTC)) + timedelta(days=days)
    renewed = {
        str(each.before.outputs.get("validityEndTime"))
        for each in preview.steps
        if each.before is not None and each.operation in ("replace", "update")
    }
    expiring = []
    for name, text in _walk_leaves(outputs.get("certificateExpiry"), ()):
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            continue
        if time <= limit:
            expiring.append(CertificateExpiry(name=name, time=time, renewed=text in renewed))
    return sorted(expiring, key=lambda expiry: (expiry.time, expiry.name))


def _walk_leaves(value: Any, path: Sequence[str]) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _walk_leaves(value[key], [*path, str(key)])
    elif isinstance(value, str):
        yield " ".join(path), value
