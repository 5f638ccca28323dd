"""Whose an object of a cluster is, by the marks that Helm and others leave on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GATEWAY_API = "gateway.networking.k8s.io"
LINKERD_CRDS = "linkerd-crds"  # the Helm release of that chart


def is_of_release(metadata: Mapping[str, Any], release: str, namespace: str) -> bool:
    """Whether an object is a Helm release's, and nobody has applied it since.

    Args:
        metadata: the object's.
        release: the release's name.
        namespace: the release's namespace.
    """
    annotations = _mapping(metadata.get("annotations"))
    marks = (annotations.get("meta.helm.sh/release-name"), annotations.get("meta.helm.sh/release-namespace"))
    # By kubectl, or by whatever else applies on the server's side; Helm 3 doesn't.
    applied = "kubectl.kubernetes.io/last-applied-configuration" in annotations or bool(appliers(metadata))
    return marks == (release, namespace) and not applied


def appliers(metadata: Mapping[str, Any]) -> list[str]:
    """Who has applied an object on the server's side.

    Args:
        metadata: the object's.
    """
    managed = metadata.get("managedFields")
    entries = [_mapping(entry) for entry in managed] if isinstance(managed, list) else []
    return [str(entry.get("manager")) for entry in entries if entry.get("operation") == "Apply"]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
