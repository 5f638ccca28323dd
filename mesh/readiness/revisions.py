"""Revisions of a workload's pods: which pods are those of the current one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.kube.json_access import as_count, as_mapping, as_mappings, as_text, as_texts
from mesh.readiness.pods import is_finished, is_terminating
from mesh.readiness.scope import Scope

_TEMPLATE_HASH = "pod-template-hash"
_REVISION_HASH = "controller-revision-hash"
_REVISION_ANNOTATION = "deployment.kubernetes.io/revision"


def list_pods(scope: Scope) -> list[dict[str, Any]] | None:
    """Return the pods of a workload, or None if they cannot be read."""
    selector = format_selector(as_mapping(scope.spec, "selector"))
    if not selector or not scope.namespace:
        return []
    return scope.reader.list_pods(scope.namespace, selector)


def find_current_pods(scope: Scope, pods: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pods of a workload's current revision."""
    if scope.kind == "StatefulSet":
        revision = as_text(scope.status.get("updateRevision"))
        return [each for each in pods if not revision or _label(each, _REVISION_HASH) in ("", revision)]
    if scope.kind != "Deployment":
        return list(pods)  # the revisions of a DaemonSet are objects of their own, and its pods are all examined
    active = [each for each in pods if not is_terminating(each) and not is_finished(each)]
    is_mixed = len({_label(each, _TEMPLATE_HASH) for each in pods}) > 1
    if not is_mixed and as_count(scope.status.get("updatedReplicas")) >= len(active):
        return list(pods)
    revision = _label(find_newest_replica_set(scope), _TEMPLATE_HASH)
    return [each for each in pods if not revision or _label(each, _TEMPLATE_HASH) == revision]


def find_newest_replica_set(scope: Scope) -> dict[str, Any]:
    """Return the metadata of a Deployment's current ReplicaSet, or an empty mapping."""
    selector = format_selector(as_mapping(scope.spec, "selector"))
    if not selector or not scope.namespace:
        return {}
    uid = as_mapping(dict(scope.live), "metadata").get("uid")
    replica_sets = [
        each
        for each in scope.reader.list_replica_sets(scope.namespace, selector)
        if any(owner.get("uid") == uid for owner in as_mappings(as_mapping(each, "metadata").get("ownerReferences")))
    ]
    return max(replica_sets, key=_revision_number, default={})


def format_selector(selector: Mapping[str, Any]) -> str:
    """Return a label selector of an object in the form of a query; empty without a condition."""
    labels = as_mapping(dict(selector), "matchLabels")
    terms = [f"{key}={value}" for key, value in labels.items() if isinstance(value, str)]
    for each in as_mappings(selector.get("matchExpressions")):
        key, operator, values = as_text(each.get("key")), each.get("operator"), as_texts(each.get("values"))
        if operator in ("In", "NotIn"):
            terms.append(f"{key} {str(operator).lower()} ({','.join(values)})")
        elif operator in ("Exists", "DoesNotExist"):
            terms.append(f"{'!' if operator == 'DoesNotExist' else ''}{key}")
    return ",".join(terms)


def _label(live: Mapping[str, Any], name: str) -> str:
    return as_text(as_mapping(dict(live), "metadata", "labels").get(name))


def _revision_number(replica_set: Mapping[str, Any]) -> int:
    text = as_text(as_mapping(dict(replica_set), "metadata", "annotations").get(_REVISION_ANNOTATION))
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
