"""Kubernetes objects, out of a chart's manifest or of a resource's inputs, and what tells one from another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh import strict_yaml

# Charts' CRDs are long.
LIMITS = strict_yaml.Limits(size=64 * 2**20, values=2_000_000)

# An object that Helm leaves in the cluster, whatever becomes of its release.
KEEP = "helm.sh/resource-policy"
HOOK = "helm.sh/hook"

# What has pods of its own, which start anew when their template changes.
WORKLOADS = {"Deployment", "DaemonSet", "StatefulSet"}

CLUSTER_WIDE = {
    "APIService",
    "CSIDriver",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "GatewayClass",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
}

Scope = Callable[[str, str], bool | None]


@dataclass(frozen=True, kw_only=True, order=True)
class ObjectIdentity:
    """What tells one object of a cluster from another; as for Helm, a version of its API doesn't."""

    kind: str
    namespace: str
    name: str
    group: str

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"


@dataclass(frozen=True, kw_only=True)
class Object:
    """An object as somebody wants it to be."""

    identity: ObjectIdentity
    body: Mapping[str, Any] = field(repr=False)

    @property
    def kept(self) -> bool:
        """Whether Helm leaves it where it is."""
        return self._annotations.get(KEEP) == "keep"

    @property
    def hook(self) -> bool:
        """Whether it is no part of its release, but something that Helm runs before or after."""
        return HOOK in self._annotations

    @property
    def pod_template(self) -> Any:
        """The template of its pods, where it has one whose change starts them anew."""
        spec = self.body.get("spec")
        if self.identity.kind not in WORKLOADS or not isinstance(spec, Mapping):
            return None
        strategy = spec.get("updateStrategy")
        waits = isinstance(strategy, Mapping) and strategy.get("type") == "OnDelete"
        return None if waits else spec.get("template")

    @property
    def _annotations(self) -> Mapping[str, Any]:
        found = (self.body.get("metadata") or {}).get("annotations")
        return found if isinstance(found, Mapping) else {}


def documents(manifest: str) -> list[dict[str, Any]]:
    """The objects of a manifest, those of lists too.

    Raises:
        StrictYamlError: it isn't YAML, or more than there ever is.
    """
    return list(_flat(strict_yaml.load_all(manifest, LIMITS)))


def index_objects(bodies: Iterable[Mapping[str, Any]], namespace: str, scope: Scope) -> dict[ObjectIdentity, Object]:
    """Objects by their identities.

    Args:
        bodies: the objects.
        namespace: of those that name none.
        scope: tells of an API version and a kind whether its objects are in namespaces; None if it isn't known.
    """
    found = {}
    for body in bodies:
        identity = identify(body, namespace, scope)
        found[identity] = Object(identity=identity, body=body)
    return found


def identify(body: Mapping[str, Any], namespace: str, scope: Scope) -> ObjectIdentity:
    """The identity of one object; the arguments are those of `made`."""
    version, kind = str(body.get("apiVersion", "")), str(body.get("kind", ""))
    metadata = body.get("metadata") or {}
    namespaced = scope(version, kind)
    if namespaced is None:
        namespaced = kind not in CLUSTER_WIDE
    return ObjectIdentity(
        kind=kind,
        namespace=str(metadata.get("namespace") or namespace) if namespaced else "",
        name=str(metadata.get("name", "")),
        group=version.rpartition("/")[0],
    )


def _flat(found: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for document in found:
        if not isinstance(document, dict):
            continue
        if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
            yield from _flat(document["items"])
        else:
            yield document
