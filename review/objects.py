"""Kubernetes objects of a chart's manifest or of a resource's inputs, and their identities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh import strict_yaml
from mesh.kube.constants import RESOURCE_POLICY_ANNOTATION

HOOK_ANNOTATION = "helm.sh/hook"

# Kinds whose pods restart when the pod template changes.
WORKLOAD_KINDS = {"Deployment", "DaemonSet", "StatefulSet"}

# Built-in kinds that are not namespaced, for clusters without API discovery.
CLUSTER_SCOPED_KINDS = {
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

# Returns for an API version and a kind whether its objects are namespaced; None if the kind is unknown.
NamespacedLookup = Callable[[str, str], bool | None]


@dataclass(frozen=True, kw_only=True, order=True)
class ObjectIdentity:
    """Identity of an object in a cluster. As in Helm, the API version is not part of it."""

    kind: str
    namespace: str
    name: str
    group: str

    def __str__(self) -> str:
        namespace = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {namespace}{self.name}"


@dataclass(frozen=True, kw_only=True)
class ManifestObject:
    """An object as a manifest or a resource's inputs define it."""

    identity: ObjectIdentity
    body: Mapping[str, Any] = field(repr=False)

    @property
    def is_retained(self) -> bool:
        """Return whether Helm leaves the object in the cluster when its release no longer has it."""
        return self._annotations.get(RESOURCE_POLICY_ANNOTATION) == "keep"

    @property
    def is_hook(self) -> bool:
        """Return whether the object is a Helm hook, which is not part of the release."""
        return HOOK_ANNOTATION in self._annotations

    @property
    def pod_template(self) -> Any:
        """Return the pod template, or None if a change of it restarts no pods."""
        spec = self.body.get("spec")
        if self.identity.kind not in WORKLOAD_KINDS or not isinstance(spec, Mapping):
            return None
        strategy = spec.get("updateStrategy")
        is_on_delete = isinstance(strategy, Mapping) and strategy.get("type") == "OnDelete"
        return None if is_on_delete else spec.get("template")

    @property
    def _annotations(self) -> Mapping[str, Any]:
        annotations = (self.body.get("metadata") or {}).get("annotations")
        return annotations if isinstance(annotations, Mapping) else {}


def parse_manifest(manifest: str) -> list[dict[str, Any]]:
    """Return the objects of a manifest, including the items of Lists.

    Raises:
        StrictYamlError: the manifest is not YAML, or exceeds the limits.
    """
    return list(_flatten(strict_yaml.load_all(manifest, strict_yaml.MANIFEST_LIMITS)))


def index_objects(
    bodies: Iterable[Mapping[str, Any]], namespace: str, is_namespaced: NamespacedLookup
) -> dict[ObjectIdentity, ManifestObject]:
    """Return objects by their identities.

    Args:
        bodies: the objects.
        namespace: namespace of objects that set none.
        is_namespaced: lookup of namespaced kinds.
    """
    objects = {}
    for body in bodies:
        identity = identify(body, namespace, is_namespaced)
        objects[identity] = ManifestObject(identity=identity, body=body)
    return objects


def identify(body: Mapping[str, Any], namespace: str, is_namespaced: NamespacedLookup) -> ObjectIdentity:
    """Return the identity of one object; the arguments are those of `index_objects`."""
    version, kind = str(body.get("apiVersion", "")), str(body.get("kind", ""))
    metadata = body.get("metadata") or {}
    namespaced = is_namespaced(version, kind)
    if namespaced is None:
        namespaced = kind not in CLUSTER_SCOPED_KINDS
    return ObjectIdentity(
        kind=kind,
        namespace=str(metadata.get("namespace") or namespace) if namespaced else "",
        name=str(metadata.get("name", "")),
        group=version.rpartition("/")[0],
    )


def _flatten(documents: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for document in documents:
        if not isinstance(document, dict):
            continue
        if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
            yield from _flatten(document["items"])
        else:
            yield document
