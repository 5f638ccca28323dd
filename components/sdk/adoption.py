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
from mesh.kube.client import METADATA_MEDIA_TYPE, KubeClient
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
    replace = partial(delete_secret_of_other_type, cluster=cluster.name, secret=secret)
    return _with_adoption_hook(resource_name, cluster, opts, replace)


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
    return _with_adoption_hook(resource_name, cluster, opts, partial(take_over_fields, path=path))


def delete_secret_of_other_type(
    client: KubeClient, inputs: Mapping[str, Any], *, cluster: str, secret: str | None = None
) -> None:
    """Delete an existing Secret if its type differs from the new one's.

    Args:
        client: the cluster's client.
        inputs: inputs of the new Secret, or of cert-manager's Certificate.
        cluster: name of the cluster, for messages.
        secret: name of the Secret that cert-manager creates; None: that in the inputs.

    Raises:
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the Secret cannot be read or deleted.
    """
    metadata = inputs["metadata"]
    namespace, name = metadata["namespace"], secret or metadata["name"]
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    desired = inputs["type"] if secret is None else "kubernetes.io/tls"  # the type of cert-manager's Secrets
    live = client.request("GET", path)
    if live is not None and live.get("type") != desired:
        client.request("DELETE", path)
        pulumi.log.info(f"{cluster}: replacing Secret {namespace}/{name} of type {live.get('type')} by {desired}")


def take_over_fields(client: KubeClient, inputs: Mapping[str, Any], *, path: Callable[[str], str]) -> None:
    """Make the new object's field manager the owner of all fields that `kubectl apply` set.

    The next server-side apply then deletes the fields that it does not contain. Follows
    https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply-to-server-side-apply.

    Args:
        client: the cluster's client.
        inputs: inputs of the new object.
        path: returns the path of the object in a namespace.

    Raises:
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the object cannot be read or changed.
    """
    metadata = inputs["metadata"]
    object_path = path(metadata["namespace"])
    live = client.request("GET", object_path, accept=METADATA_MEDIA_TYPE)
    if live is None:
        return
    manager = metadata["annotations"][FIELD_MANAGER_ANNOTATION]
    managed_fields = live["metadata"].get("managedFields") or []
    taken = [
        {**each, "manager": manager, "operation": "Apply"} if each.get("manager") == _KUBECTL_APPLY else each
        for each in managed_fields
    ]
    if taken != managed_fields:
        # With the resource version, the API server rejects the patch after a concurrent change.
        patch = {"metadata": {"managedFields": taken, "resourceVersion": live["metadata"]["resourceVersion"]}}
        client.request("PATCH", object_path, body=patch)


def _with_adoption_hook(
    resource_name: str,
    cluster: Cluster,
    opts: pulumi.ResourceOptions,
    call: Callable[[KubeClient, Mapping[str, Any]], None],
) -> pulumi.ResourceOptions:
    if not cluster.settings.adopt:
        return opts
    access = cluster.access

    def adopt(inputs: Mapping[str, Any]) -> None:
        call(kube_client.connect(access), inputs)

    hook = pulumi.ResourceHook(f"{resource_name}-adopt", create_inputs_hook(adopt))
    hooks = pulumi.ResourceHookBinding(before_create=[hook])
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(hooks=hooks))
