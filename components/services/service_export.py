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
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ServiceExportProvider
from components.sdk.hooks import HookStep, create_step_hook

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.kube.client import APPLY_PATCH, METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.errors import ApiStatusError
from mesh.kube.json_access import as_mapping

if TYPE_CHECKING:
    # The import takes seconds, and the provider's process does not need it.
    from components.cluster import Cluster


class MissingServiceError(Exception):
    """The Service to export does not exist."""


class ExportConflictError(Exception):
    """Another field manager has set the label to another value."""


class ServiceExport(Resource, module="multicluster-mesh", name="ServiceExport"):
    """The label that exports a Service, or makes it a member of a federated service.

    Args:
        name: name of the Pulumi resource.
        cluster: cluster of the Service.
        namespace: namespace of the Service.
        service: name of the Service.
        label: key of the label.
        value: value of the label.
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
        opts: pulumi.ResourceOptions,
    ) -> None:
        export, access = export_props(cluster, namespace, service, label, value), cluster.access

        def apply(_step: HookStep) -> None:
            apply_export(kube_client.connect(access), export)

        # In the provider's own process, the import of the Kubernetes client would take half a second of each `up`.
        hook = pulumi.ResourceHook(f"{name}-apply", create_step_hook(apply))
        hooks = pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])
        options = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(hooks=hooks))
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
        with suppress(MissingServiceError):
            if (value := labels.get(export["label"])) is not None:
                # With the same value, there is no conflict with the Service's own field manager.
                apply_export(client, {**export, "value": value})


def apply_export(client: KubeClient, props: Mapping[str, Any]) -> None:
    """Set the label of a Service.

    Args:
        client: the cluster's client.
        props: properties of a `ServiceExport`.

    Raises:
        MissingServiceError: the Service does not exist.
        ExportConflictError: another field manager has set the label to another value.
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the label cannot be set.
    """
    path, label = _service_path(props), props["label"]
    # Server-side apply would create a missing Service.
    if client.request("GET", path, accept=METADATA_MEDIA_TYPE) is None:
        raise MissingServiceError(
            f"{props['cluster']}: Service {props['namespace']}/{props['service']}: does not exist, so it cannot be "
            "exported; run `pulumi up --refresh`, which creates it"
        )
    try:
        _apply_labels(client, props, {label: props["value"]})
    except ApiStatusError as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        raise ExportConflictError(
            f"{props['cluster']}: Service {props['namespace']}/{props['service']}: label {label} is managed by another "
            f"program: {error.message}; remove the label there, or set `clusters.{props['cluster']}.adopt: true`"
        ) from None


def remove_export(client: KubeClient, props: Mapping[str, Any]) -> None:
    """Remove the label of a Service if this stack has set it.

    Args:
        client: the cluster's client.
        props: properties of a `ServiceExport`.

    Raises:
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the label cannot be removed.
    """
    if client.request("GET", _service_path(props), accept=METADATA_MEDIA_TYPE) is not None:
        _apply_labels(client, props, {})


def read_export(client: KubeClient, props: Mapping[str, Any]) -> str | None:
    """Return the value of the label in the cluster, empty without the label; None if the Service does not exist."""
    live = client.request("GET", _service_path(props), accept=METADATA_MEDIA_TYPE)
    return None if live is None else str(as_mapping(live, "metadata", "labels").get(props["label"], ""))


def _apply_labels(client: KubeClient, props: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    metadata = {"name": props["service"], "namespace": props["namespace"], "labels": dict(labels)}
    query = f"fieldManager={quote(props['fieldManager'], safe='')}"
    if props.get("adopt"):
        query += "&force=true"
    body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    client.request("PATCH", f"{_service_path(props)}?{query}", body=body, patch_type=APPLY_PATCH)


def _service_path(props: Mapping[str, Any]) -> str:
    return f"/api/v1/namespaces/{quote(props['namespace'], safe='')}/services/{quote(props['service'], safe='')}"
