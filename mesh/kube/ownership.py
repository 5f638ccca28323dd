"""Ownership of an object, from its labels, annotations and managed fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.kube.json_access import as_mapping, as_mappings

GATEWAY_API_GROUP = "gateway.networking.k8s.io"
LINKERD_CRDS_RELEASE = "linkerd-crds"  # name of the chart's Helm release


def helm_ownership_metadata(release: str, namespace: str) -> dict[str, dict[str, str]]:
    """Return the metadata that Helm adds to each object of a release.

    Helm refuses to adopt an existing object without it.

    Args:
        release: name of the release.
        namespace: namespace of the release.
    """
    return {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace},
    }


def belongs_to_release(metadata: Mapping[str, Any], release: str, namespace: str) -> bool:
    """Return whether a Helm release owns an object and is the only manager that has applied the object.

    Args:
        metadata: metadata of the object.
        release: name of the release.
        namespace: namespace of the release.
    """
    annotations = as_mapping(metadata.get("annotations"))
    expected = helm_ownership_metadata(release, namespace)["annotations"]
    has_ownership = all(annotations.get(key) == value for key, value in expected.items())
    # By kubectl, or by server-side apply, which Helm 3 does not use.
    is_applied = "kubectl.kubernetes.io/last-applied-configuration" in annotations or bool(
        server_side_appliers(metadata)
    )
    return has_ownership and not is_applied


def server_side_appliers(metadata: Mapping[str, Any]) -> list[str]:
    """Return the field managers that have applied an object with server-side apply."""
    entries = as_mappings(metadata.get("managedFields"))
    return [str(entry.get("manager")) for entry in entries if entry.get("operation") == "Apply"]
