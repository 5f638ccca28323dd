"""Objects of a link's service mirror that `linkerd multicluster link` created, up to Linkerd 2.17.

This program's chart has objects of the same names, so Helm would refuse to create them.
Follows linkerd/linkerd2 `multicluster/charts/linkerd-multicluster-link`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mesh.kube.client import METADATA_LIST_MEDIA_TYPE, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CLUSTER_NAME_LABEL
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text

_RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True, kw_only=True)
class MirrorObject:
    """An object of a service mirror that does not belong to this program's release."""

    name: str  # kind and name
    path: str
    helm_release: str  # another Helm release that owns it; empty: none


def mirror_release(target: str) -> str:
    """Return the name of the Helm release with a link's service mirror."""
    return f"link-{target}"


def list_mirror_targets(client: KubeClient, namespace: str) -> set[str]:
    """Return the targets whose service mirror does not belong to this program's release; raise as `client.get` does."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments?labelSelector=component%3Dservice-mirror"
    deployments = client.get(path, f"the service mirrors in namespace {namespace}", METADATA_LIST_MEDIA_TYPE) or {}
    targets = set()
    for deployment in as_mappings(deployments.get("items")):
        target = to_single_line(as_text(as_mapping(deployment, "metadata", "labels").get(CLUSTER_NAME_LABEL)), 63)
        if target and _helm_release(deployment) != mirror_release(target):
            targets.add(target)
    return targets


def find_mirror_objects(client: KubeClient, namespace: str, target: str) -> Iterator[MirrorObject]:
    """Yield the objects of a service mirror that do not belong to this program's release.

    The Deployment comes first, so that nothing uses an object that is deleted later.

    Args:
        client: the cluster's client.
        namespace: namespace of the multicluster extension.
        target: target of the link.

    Raises:
        NotReadableError, ApiUnreachableError, BadCredentialsError: an object cannot be read.
    """
    mirror = f"linkerd-service-mirror-{target}"
    local, remote = (
        f"linkerd-service-mirror-{part}-{target}" for part in ("access-local-resources", "read-remote-creds")
    )
    objects = (
        ("Deployment", f"/apis/apps/v1/namespaces/{namespace}/deployments", mirror),
        ("PodDisruptionBudget", f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets", mirror),
        ("Service", f"/api/v1/namespaces/{namespace}/services", f"probe-gateway-{target}"),
        ("ServiceAccount", f"/api/v1/namespaces/{namespace}/serviceaccounts", mirror),
        ("ClusterRoleBinding", f"{_RBAC}/clusterrolebindings", local),
        ("ClusterRole", f"{_RBAC}/clusterroles", local),
        ("RoleBinding", f"{_RBAC}/namespaces/{namespace}/rolebindings", remote),
        ("RoleBinding", f"{_RBAC}/namespaces/{namespace}/rolebindings", f"linkerd-multicluster-link-psp-{target}"),
        ("Role", f"{_RBAC}/namespaces/{namespace}/roles", remote),
    )
    for kind, collection, name in objects:
        path = f"{collection}/{name}"
        live = client.get(path, f"{kind} {name}", METADATA_MEDIA_TYPE)
        if live is not None and (helm_release := _helm_release(live)) != mirror_release(target):
            yield MirrorObject(name=f"{kind} {name}", path=path, helm_release=helm_release)


def _helm_release(live: object) -> str:
    return to_single_line(as_text(as_mapping(live, "metadata", "annotations").get("meta.helm.sh/release-name")), 53)
