"""Hooks for objects of other owners that server-side apply alone cannot take over.

* The type of a Secret is immutable. An issuer's Secret is `Opaque` if Helm got its certificate and key as values.
* Fields that only the former owner applied remain, and more labels in a Link's selector select fewer services.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pulumi

from components.cluster import Cluster
from components.sdk.hooks import create_inputs_hook

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.kube.client import METADATA_MEDIA_TYPE, Access
from mesh.kube.constants import FIELD_MANAGER_ANNOTATION

_KUBECTL_APPLY = "kubectl-client-side-apply"


def adopt_secret(
    resource_name: str, cluster: Cluster, opts: pulumi.ResourceOptions, *, secret: str | None = None
) -> pulumi.ResourceOptions:
    """Return options that let a new Secret replace an existing one of another type, if the cluster adopts objects.

    Pods that mount the former Secret keep its files until they read the new one.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: cluster of the Secret.
        opts: options of the Secret, or of the Certificate for which cert-manager creates the Secret.
        secret: name of the Secret that cert-manager creates; None: the resource is the Secret.
    """
    return _with_adoption_hook(
        resource_name, cluster, opts, partial(_delete_secret_of_other_type, cluster.name, secret)
    )


def adopt_applied_fields(
    resource_name: str, cluster: Cluster, opts: pulumi.ResourceOptions, path: Callable[[str], str]
) -> pulumi.ResourceOptions:
    """Return options that let a new object own all fields that `kubectl apply` set, if the cluster adopts objects.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: cluster of the object.
        opts: options of the object.
        path: returns the path of the object in a namespace.
    """
    return _with_adoption_hook(resource_name, cluster, opts, partial(_take_over_fields, path))


def _with_adoption_hook(
    resource_name: str,
    cluster: Cluster,
    opts: pulumi.ResourceOptions,
    call: Callable[[Access, Mapping[str, Any]], None],
) -> pulumi.ResourceOptions:
    if not cluster.settings.adopt:
        return opts
    hook = pulumi.ResourceHook(f"{resource_name}-adopt", create_inputs_hook(partial(call, cluster.access)))
    hooks = pulumi.ResourceHookBinding(before_create=[hook])
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(hooks=hooks))


def _delete_secret_of_other_type(cluster: str, secret: str | None, access: Access, inputs: Mapping[str, Any]) -> None:
    metadata = inputs["metadata"]
    namespace, name = metadata["namespace"], secret or metadata["name"]
    path, client = f"/api/v1/namespaces/{namespace}/secrets/{name}", kube_client.connect(access)
    desired = inputs["type"] if secret is None else "kubernetes.io/tls"  # that of cert-manager
    live = client.request("GET", path)
    if live is not None and live.get("type") != desired:
        client.request("DELETE", path)
        pulumi.log.info(
            f"{cluster}: replacing Secret {namespace}/{name} of type {live.get('type')} by one of {desired}"
        )


def _take_over_fields(path: Callable[[str], str], access: Access, inputs: Mapping[str, Any]) -> None:
    metadata = inputs["metadata"]
    object_path, client = path(metadata["namespace"]), kube_client.connect(access)
    live = client.request("GET", object_path, accept=METADATA_MEDIA_TYPE)
    if live is None:
        return
    manager = metadata["annotations"][FIELD_MANAGER_ANNOTATION]
    managed_fields = live["metadata"].get("managedFields") or []
    # The next server-side apply then deletes the fields that it does not contain, as after an own apply.
    # https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply-to-server-side-apply
    taken = [
        {**each, "manager": manager, "operation": "Apply"} if each.get("manager") == _KUBECTL_APPLY else each
        for each in managed_fields
    ]
    if taken != managed_fields:
        # With the resource version, the API server rejects the patch after a concurrent change.
        patch = {"metadata": {"managedFields": taken, "resourceVersion": live["metadata"]["resourceVersion"]}}
        client.request("PATCH", object_path, body=patch)
