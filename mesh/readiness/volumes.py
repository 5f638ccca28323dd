"""Volumes that a pod waits for: claims that are not bound, and volumes that cannot be mounted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.readiness.cause import Cause
from mesh.readiness.cluster_reader import event_message
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scope import Scope

_MAX_CLAIMS = 5
_MISSING_OBJECT = re.compile(r"\b(secret|configmap) \"([^\"]+)\" not found", re.IGNORECASE)


def find_claim_causes(scope: Scope, pod: Mapping[str, Any]) -> list[Cause]:
    """Return a cause for each PersistentVolumeClaim of a pod that is missing or not bound."""
    volumes = as_mappings(as_mapping(dict(pod), "spec").get("volumes"))
    names = [as_text(as_mapping(each, "persistentVolumeClaim").get("claimName")) for each in volumes]
    causes = (_find_claim_cause(scope, name) for name in [each for each in names if each][:_MAX_CLAIMS])
    return [cause for cause in causes if cause is not None]


def _find_claim_cause(scope: Scope, name: str) -> Cause | None:
    claim = scope.reader.read_claim(scope.namespace, name)
    if claim is None:
        return None  # the scheduler's message names a missing claim
    phase = as_text(as_mapping(claim, "status").get("phase"))
    if phase == "Bound":
        return None
    storage_class = as_text(as_mapping(claim, "spec").get("storageClassName"))
    events = scope.reader.list_events(claim)
    event = next((each for each in events if each.get("type") == "Warning"), events[0] if events else None)
    message = event_message(event) if event is not None else "no event gives a reason"
    class_text = f"storage class {quote_name(storage_class)}" if storage_class else "no storage class"
    return Cause(
        subject=f"PersistentVolumeClaim {quote_name(name)}",
        reason=(as_text(event.get("reason")) if event is not None else "") or phase or "Pending",
        message=quote(f"{class_text}: {message}"),
        remedy=(
            f"create the missing StorageClass, or a default one ({scope.settings.kubectl('get storageclass')})"
            f"{scope.settings.or_in_values('set another one')}"
        ),
    )


def mount_remedy(scope: Scope, message: str) -> str | None:
    """Return the remedy for a volume that cannot be mounted; None: the kubelet tries again."""
    missing = _MISSING_OBJECT.search(message)
    if missing is None:
        return None
    return missing_object_remedy(scope, missing[1], missing[2])


def missing_object_remedy(scope: Scope, kind: str, name: str) -> str:
    """Return the remedy for a Secret or a ConfigMap that a pod needs and that does not exist."""
    kind = "Secret" if kind.lower() == "secret" else "ConfigMap"
    return (
        f"create {kind} {quote_name(name)} in namespace {scope.namespace}; if it belongs to the stack, run "
        "`pulumi up --refresh`"
    )
