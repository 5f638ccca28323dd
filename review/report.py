"""The review as data: everything that its text tells, and nothing of how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import policy
from review.changes import Change, ReleaseChange, ResourceChange
from review.preview import Preview

OPERATIONS = ("create", "update", "replace", "delete")

# Whose end takes more with it than themselves.
_CASCADING_KINDS = {
    "CustomResourceDefinition": "all objects of that kind go with it",
    "Namespace": "all that is in it goes with it",
    "PersistentVolume": "the data on it",
    "PersistentVolumeClaim": "the data on it, unless its volume is retained",
}
_OF_PULUMI = {
    "tls:index/privateKey:PrivateKey": "a private key; nobody can bring it back",
    "tls:index/selfSignedCert:SelfSignedCert": "a certificate that others are signed by",
    "tls:index/locallySignedCert:LocallySignedCert": "a certificate",
    "pulumi-python:dynamic/multicluster-mesh:DashboardUser": "a generated password",
}


@dataclass(frozen=True, kw_only=True, order=True)
class Loss:
    """Something that is replaced or deleted and can't come back."""

    cluster: str
    what: str
    operation: str  # deleted, replaced
    why: str


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """A certificate that ends soon."""

    what: str
    ends: datetime
    renewed: bool  # by this very change


@dataclass(frozen=True, kw_only=True)
class PolicyFinding:
    """A rule of the policy pack that a resource breaks."""

    mandatory: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole review."""

    stack: str
    clusters: Mapping[str, str | None]  # by name: why it could not be seen, or None
    resources: tuple[ResourceChange, ...]
    releases: tuple[ReleaseChange, ...]
    topology: tuple[str | None, str | None] = (None, None)  # Mermaid, before and after
    expiring: tuple[Expiry, ...] = ()
    expires_within: int = 0  # days
    findings: tuple[PolicyFinding, ...] = ()
    older_findings: int = 0  # of resources that don't change
    warnings: tuple[str, ...] = ()
    unchanged: int = 0  # resources

    @property
    def names(self) -> list[str]:
        """All clusters that something is said of, and last, as an empty text, what is on none."""
        found = {change.cluster for change in self.resources if change.cluster} | {
            each.cluster for each in self.releases
        }
        rest = [""] if any(change.cluster is None for change in self.resources) else []
        return [*sorted({*self.clusters, *found}), *rest]

    def operations(self, cluster: str | None = None) -> Counter[str]:
        """How many resources are created, updated, replaced and deleted; on one cluster, or on all."""
        everything: Iterable[ResourceChange | ReleaseChange] = (*self.resources, *self.releases)
        return Counter(each.operation for each in everything if cluster is None or (each.cluster or "") == cluster)

    def objects(self, cluster: str) -> list[Change]:
        """What becomes of the objects of a cluster, whoever makes them."""
        found = [change for release in self.releases if release.cluster == cluster for change in release.objects]
        found += [each.object for each in self.resources if each.object and (each.cluster or "") == cluster]
        return sorted(found, key=lambda change: change.identity)

    @property
    def restarts(self) -> list[tuple[str, Change]]:
        """The workloads whose pods start anew, by cluster."""
        return [(name, change) for name in self.names for change in self.objects(name) if change.restarts]

    @property
    def losses(self) -> list[Loss]:
        """What is replaced or deleted and can't come back."""
        found: set[Loss] = set()
        for name in self.names:
            for change in self.objects(name):
                if change.verb in ("removed", "replaced") and (why := _why(change)):
                    operation = "deleted" if change.verb == "removed" else "replaced"
                    found.add(Loss(cluster=name, what=str(change.identity), operation=operation, why=why))
        for resource in self.resources:
            if resource.operation in ("delete", "replace") and resource.type in _OF_PULUMI:
                operation = "deleted" if resource.operation == "delete" else "replaced"
                why = _OF_PULUMI[resource.type]
                found.add(Loss(cluster=resource.cluster or "", what=resource.name, operation=operation, why=why))
        return sorted(found)


def _why(change: Change) -> str | None:
    kind = change.identity.kind
    if kind in _CASCADING_KINDS:
        return _CASCADING_KINDS[kind]
    body = change.before or {}
    if kind == "Secret" and body.get("type") == "kubernetes.io/tls":
        return "a key and its certificate"
    if kind in ("Certificate", "Issuer", "ClusterIssuer"):
        return "what cert-manager has issued by it is not renewed any more"
    if change.verb == "replaced":
        return "it is deleted and made anew"
    return None


def findings(preview: Preview) -> tuple[list[PolicyFinding], int]:
    """What the policies have against the resources that change, and how many things against the others."""
    planned, changing = [], set()
    for step in preview.steps:
        if step.after is not None:
            after = step.after
            planned.append(
                policy.PlannedResource(urn=step.urn, type=step.type, properties=after.inputs, provider=after.provider)
            )
            if step.operation != "same":
                changing.add(step.urn)
    found = policy.violations(planned)
    new = [PolicyFinding(mandatory=each.mandatory, text=each.line()) for each in found if each.urn in changing]
    return new, len(found) - len(new)


def expiring(preview: Preview, days: int, now: datetime | None = None) -> list[Expiry]:
    """The certificates that end within some days, as the stack's outputs tell.

    Args:
        preview: the preview.
        days: how many.
        now: counted from then.
    """
    step = preview.stack
    outputs = step.before.outputs if step is not None and step.before is not None else {}
    limit = (now or datetime.now(UTC)) + timedelta(days=days)
    replaced = {
        str(each.before.outputs.get("validityEndTime"))
        for each in preview.steps
        if each.before is not None and each.operation in ("replace", "update")
    }
    found = []
    for what, text in _leaves(outputs.get("certificateExpiry"), ()):
        try:
            ends = datetime.fromisoformat(text)
        except ValueError:
            continue
        if ends <= limit:
            found.append(Expiry(what=what, ends=ends, renewed=text in replaced))
    return sorted(found, key=lambda expiry: (expiry.ends, expiry.what))


def _leaves(value: Any, path: Sequence[str]) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key], [*path, str(key)])
    elif isinstance(value, str):
        yield " ".join(path), value
