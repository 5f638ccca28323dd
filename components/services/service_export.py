"""Export of a service: the label by which Linkerd's controllers in other clusters mirror it.

The label is a resource of its own, because Pulumi deletes last and in the order of dependencies. So an `up` deletes a
route first, then the label of the service that the route names, then waits for the mirrors, and deletes the pods last.
A label that is part of the Service would be removed by an update, long before the route is deleted.

The label has a field manager of its own (server-side apply), so the Service does not contain it. Pulumi's own
`ServicePatch` cannot be deleted when its Service no longer exists.

Follows https://linkerd.io/2/reference/multicluster/ and
https://kubernetes.io/docs/reference/using-api/server-side-apply/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ServiceExportProvider
from components.sdk.hooks import HookStep, create_step_hook
from components.services.object_metadata import apply_in_hook

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.kube.applied_metadata import (
    AppliedMetadata,
    ObjectNotFoundError,
    apply_metadata,
    read_metadata,
    remove_metadata,
)
from mesh.kube.client import KubeClient
from mesh.kube.json_access import as_mapping

if TYPE_CHECKING:
    # The import takes seconds, and the provider's process does not need it.
    from components.cluster import Cluster


class ServiceExport(Resource, module="multicluster-mesh", name="ServiceExport"):
    """The label that exports a Service, or makes it a member of a federated service.

    Args:
        name: name of the Pulumi resource.
        cluster: cluster of the Service.
        namespace: namespace of the Service.
        service: name of the Service.
        label: key of the label.
        value: value of the label.
        service_uid: UID of a Service of another owner; if the owner creates it again, the next update sets the label.
        opts: resource options.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster: Cluster,
        namespace: str,
        service: str,
        label: str,
        value: str,
        service_uid: str = "",
        opts: pulumi.ResourceOptions,
    ) -> None:
        export = export_props(cluster, namespace, service, label, value)
        if service_uid:
            export["objectUid"] = service_uid
        options = pulumi.ResourceOptions.merge(opts, apply_in_hook(name, cluster, _applied_label(export)))
        super().__init__(ServiceExportProvider(), name, {**cluster.access_inputs, **export}, options)


def export_props(cluster: Cluster, namespace: str, service: str, label: str, value: str) -> dict[str, Any]:
    """Return the properties of an export, without the credentials of its cluster.

    Args:
        cluster: cluster of the Service.
        namespace: namespace of the Service.
        service: name of the Service.
        label: key of the label.
        value: value of the label.
    """
    props = {
        "cluster": cluster.name,
        "namespace": namespace,
        "service": service,
        "label": label,
        "value": value,
        "fieldManager": f"{cluster.identity.field_manager}-{label.rpartition('/')[2]}",
    }
    return {**props, "adopt": True} if cluster.settings.adopt else props


def keep_export_labels(
    resource_name: str, *, cluster: Cluster, namespace: str, service: str, labels: Mapping[str, str]
) -> pulumi.ResourceOptions:
    """Return options of a Service that keep its export labels when it no longer contains them.

    Earlier versions of this program created the Service with these labels.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: cluster of the Service.
        namespace: namespace of the Service.
        service: name of the Service.
        labels: labels of the exports.
    """
    exports = [export_props(cluster, namespace, service, label, value) for label, value in labels.items()]
    access = cluster.access

    def keep(step: HookStep) -> None:
        former_labels = as_mapping(step.old_outputs.get("metadata"), "labels")
        if any(export["label"] in former_labels for export in exports):
            share_labels(kube_client.connect(access), exports, former_labels)

    hook = pulumi.ResourceHook(f"{resource_name}-keep-labels", create_step_hook(keep))
    return pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_update=[hook]))


def share_labels(client: KubeClient, exports: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> None:
    """Let the field managers of exports own the labels that a Service has already.

    Args:
        client: the cluster's client.
        exports: properties of the exports.
        labels: labels of the Service.
    """
    for export in exports:
        # On a rebuilt cluster, another hook creates the Service later.
        with suppress(ObjectNotFoundError):
            if (value := labels.get(export["label"])) is not None:
                # With the same value, there is no conflict with the Service's own field manager.
                apply_export(client, {**export, "value": value})


def apply_export(client: KubeClient, props: Mapping[str, Any]) -> None:
    """Set the label of a Service.

    Args:
        client: the cluster's client.
        props: properties of a `ServiceExport`.

    Raises:
        ObjectNotFoundError: the Service does not exist.
        MetadataConflictError: another field manager has set the label to another value.
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the label cannot be set.
    """
    apply_metadata(client, _applied_label(props))


def remove_export(client: KubeClient, props: Mapping[str, Any]) -> None:
    """Remove the label of a Service if this stack has set it.

    Args:
        client: the cluster's client.
        props: properties of a `ServiceExport`.

    Raises:
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the label cannot be removed.
    """
    remove_metadata(client, _applied_label(props))


def read_export(client: KubeClient, props: Mapping[str, Any]) -> str | None:
    """Return the value of the label in the cluster, empty without the label; None if the Service does not exist."""
    live = read_metadata(client, _applied_label(props))
    return None if live is None else live["labels"].get(props["label"], "")


def _applied_label(props: Mapping[str, Any]) -> AppliedMetadata:
    return AppliedMetadata(
        cluster=props["cluster"],
        kind="Service",
        namespace=props["namespace"],
        name=props["service"],
        labels={props["label"]: props["value"]},
        field_manager=props["fieldManager"],
        adopt=bool(props.get("adopt")),
    )
