"""Terminating namespaces: the causes that delay their deletion, and the remedies.

The namespace controller writes each cause into a condition of the namespace. Finalizers of the namespace itself are in
no condition.

Follows https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/namespace/deletion/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh.kube.api_services import UnavailableApi
from mesh.kube.conditions import condition_message, find_condition
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_text, as_texts

_DISCOVERY_FAILURE = "NamespaceDeletionDiscoveryFailure"
_CONTENT_REMAINING = "NamespaceContentRemaining"
_OWN_FINALIZERS = "finalizers of the namespace"
# Remedy of each cause: a condition type that is True while it delays the deletion, or finalizers.
_REMEDIES: Mapping[str, str] = {
    _DISCOVERY_FAILURE: (
        "repair the API that the condition names, or delete its APIService (kubectl get apiservices lists it as False)"
    ),
    "NamespaceDeletionGroupVersionParsingFailure": "delete the APIService of the version that the condition names",
    "NamespaceDeletionContentFailure": "remove the cause of the refusal, for example a webhook that does not answer",
    "NamespaceFinalizersRemaining": "start the controllers that remove these finalizers, or remove them yourself",
    _OWN_FINALIZERS: "start the controllers that remove the namespace's finalizers, or remove them yourself",
    _CONTENT_REMAINING: "wait until these objects are deleted",
}
# The namespace controller removes this entry of `spec.finalizers`.
_CONTROLLER_FINALIZER = "kubernetes"


def is_terminating(namespace: Mapping[str, Any]) -> bool:
    """Return whether a namespace is being deleted."""
    return bool(as_text(as_mapping(dict(namespace), "metadata").get("deletionTimestamp")))


def deletion_causes(namespace: Mapping[str, Any]) -> dict[str, str]:
    """Return the causes that delay the deletion of a namespace, each with its message."""
    causes: dict[str, str] = {}
    for kind in _REMEDIES:
        condition = find_condition(namespace, kind)
        if condition.get("status") == "True":
            causes[kind] = condition_message(condition)
    metadata, spec = as_mapping(dict(namespace), "metadata"), as_mapping(dict(namespace), "spec")
    finalizers = [*as_texts(metadata.get("finalizers")), *as_texts(spec.get("finalizers"))]
    finalizers = [each for each in finalizers if each != _CONTROLLER_FINALIZER]
    if finalizers:
        causes[_OWN_FINALIZERS] = to_single_line(", ".join(finalizers))
    return causes


def format_causes(namespace: Mapping[str, Any]) -> str:
    """Return the causes that delay the deletion of a namespace, for users."""
    causes = deletion_causes(namespace)
    return "; ".join(f"{cause}: {message}" for cause, message in causes.items()) or "its conditions name no cause yet"


def deletion_remedy(namespace: Mapping[str, Any], unavailable_apis: Sequence[UnavailableApi] = ()) -> str:
    """Return the instruction that lets the deletion of a namespace continue.

    Args:
        namespace: the namespace.
        unavailable_apis: unavailable APIs of the cluster, as far as they are known.
    """
    causes = deletion_causes(namespace)
    remedies = {cause: remedy for cause, remedy in _REMEDIES.items() if cause in causes}
    if _DISCOVERY_FAILURE in causes and unavailable_apis:
        remedies[_DISCOVERY_FAILURE] = ", and ".join(api.remedy for api in unavailable_apis)
    if len(remedies) > 1:
        # The objects remain because of the other causes.
        remedies.pop(_CONTENT_REMAINING, None)
    return ", and ".join(remedies.values()) or "wait until it is deleted"
