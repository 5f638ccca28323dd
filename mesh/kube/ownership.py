"""Whose an object of a cluster is, by the marks that Helm and others leave on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GATEWAY_API = "gateway.networking.k8s.io"
LINKERD_CRDS = "linkerd-crds"  # the Helm release of that chart


def helm_ownership_metadata(release: str, namespace: str) -> dict[str, dict[str, str]]:
    """What Helm writes into the metadata of each object of a release, besides what its manifest has.

    Without these, Helm refuses to take over an object that is there already.

    Args:
        release: the release's name.
        namespace: the release's namespace.
    """
    return {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace},
    }


def belongs_to_release(metadata: Mapping[str, Any], release: str, namespace: str) -> bool:
    """Whether an object is a Helm release's, and nobody has applied it since.

    Args:
        metadata: the object's.
        release: the release's name.
        namespace: the release's namespace.
    """
    annotations = _mapping(metadata.get("annotations"))
    marked = all(
        annotations.get(key) == value
        for key, value in helm_ownership_metadata(release, namespace)["annotations"].items()
    )
    # By kubectl, or by whatever else applies on the server's side; Helm 3 doesn't.
    applied = "kubectl.kubernetes.io/last-applied-configuration" in annotations or bool(server_side_appliers(metadata))
    return marked and not applied


def server_side_appliers(metadata: Mapping[str, Any]) -> list[str]:
    """Who has applied an object on the server's side.

    Args:
        metadata: the object's.
    """
    managed = metadata.get("managedFields")
    entries = [_mapping(entry) for entry in managed] if isinstance(managed, list) else []
    return [str(entry.get("manager")) for entry in entries if entry.get("operation") == "Apply"]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
