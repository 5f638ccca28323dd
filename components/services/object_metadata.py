"""Annotations that the stack sets on an object of another owner (`mesh.kube.applied_metadata`).

Each resource has a field manager of its own, so two resources on one object do not remove each other's keys. Pulumi's
own `NamespacePatch` and `ServicePatch` cannot be deleted when their object no longer exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ObjectMetadataProvider
from components.sdk.hooks import bind_step_hook

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.kube.applied_metadata import AppliedMetadata, apply_metadata

if TYPE_CHECKING:
    # The import takes seconds, and the provider's process does not need it.
    from components.cluster import Cluster


class ObjectMetadata(Resource, module="multicluster-mesh", name="ObjectMetadata"):
    """Annotations of a Namespace or a Service.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: cluster of the object.
        kind: kind of the object.
        object_name: name of the object.
        namespace: namespace of a Service.
        object_uid: UID of the object; if its owner creates it again, the next update sets the annotations again.
        purpose: end of the name of the field manager; unique among the resources on the object.
        annotations: annotations to set.
        opts: resource options.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        cluster: Cluster,
        kind: Literal["Namespace", "Service"],
        object_name: str,
        namespace: str = "",
        object_uid: str = "",
        purpose: str,
        annotations: Mapping[str, str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        props: dict[str, Any] = {
            "cluster": cluster.name,
            "kind": kind,
            "namespace": namespace,
            "name": object_name,
            "annotations": dict(annotations),
            "fieldManager": f"{cluster.identity.field_manager}-{purpose}",
        }
        if object_uid:
            props["objectUid"] = object_uid
        if cluster.settings.adopt:
            props["adopt"] = True
        options = pulumi.ResourceOptions.merge(opts, apply_in_hook(resource_name, cluster, parse_props(props)))
        super().__init__(ObjectMetadataProvider(), resource_name, {**cluster.access_inputs, **props}, options)


def apply_in_hook(resource_name: str, cluster: Cluster, metadata: AppliedMetadata) -> pulumi.ResourceOptions:
    """Return options that set labels and annotations before their resource is created or updated.

    In the provider's own process, the import of the Kubernetes client would take half a second of each `up`.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: cluster of the object.
        metadata: the labels and annotations.
    """
    access = cluster.access
    hooks = bind_step_hook(
        f"{resource_name}-apply", lambda _step: apply_metadata(kube_client.connect(access), metadata)
    )
    return pulumi.ResourceOptions(hooks=hooks)


def parse_props(props: Mapping[str, Any]) -> AppliedMetadata:
    """Return the annotations of an `ObjectMetadata`.

    Args:
        props: its properties.
    """
    return AppliedMetadata(
        cluster=props["cluster"],
        kind=props["kind"],
        namespace=props.get("namespace") or None,
        name=props["name"],
        annotations=props.get("annotations") or {},
        field_manager=props["fieldManager"],
        adopt=bool(props.get("adopt")),
    )
