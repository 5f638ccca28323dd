"""Objects that a rebuilt cluster does not have yet.

Pulumi updates the objects of a rebuilt cluster in place, and a hook creates each object first. A replacement would
delete an object by the name that the new one has too.

Follows https://www.pulumi.com/docs/iac/concepts/options/hooks/.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pulumi

from components.sdk.hooks import create_inputs_hook
from mesh.kube import client as kube_client
from mesh.kube.client import APPLY_PATCH, KubeClient
from mesh.kube.conditions import find_condition
from mesh.kube.constants import CLUSTER_UID_ANNOTATION
from mesh.kube.json_access import as_mapping
from mesh.kube.object_path import ObjectLocator

if TYPE_CHECKING:
    from components.cluster import Cluster

_ESTABLISHED_TIMEOUT_S = 30


def is_on_former_cluster(inputs: Mapping[str, Any], uid: str | None) -> bool:
    """Return whether an object in the stack state is on the cluster before its rebuild.

    Args:
        inputs: inputs of the object.
        uid: UID of the cluster; None: unknown.
    """
    annotations = as_mapping(inputs.get("metadata"), "annotations")
    return uid is not None and annotations.get(CLUSTER_UID_ANNOTATION) not in (None, uid)


def create_missing_object_binding(resource_name: str, cluster: Cluster) -> pulumi.ResourceHookBinding:
    """Return the hook that creates the object of a resource before its update, if the cluster does not have it.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: the cluster.
    """
    access, field_manager = cluster.access, cluster.identity.field_manager

    def create(body: Mapping[str, Any]) -> None:
        create_missing_object(kube_client.connect(access), body, field_manager)

    hook = pulumi.ResourceHook(f"{resource_name}-create-missing", create_inputs_hook(create))
    return pulumi.ResourceHookBinding(before_update=[hook])


def create_missing_object(client: KubeClient, body: Mapping[str, Any], field_manager: str) -> None:
    """Create an object with server-side apply, as Pulumi does, if it does not exist.

    Args:
        client: the cluster's client.
        body: the object.
        field_manager: field manager of the stack.
    """
    path = ObjectLocator(client).find(body)
    # Pulumi itself reports an unknown kind.
    if path is not None and client.request("GET", path.path) is None:
        query = f"fieldManager={quote(field_manager, safe='')}"
        client.request("PATCH", f"{path.path}?{query}", body=body, patch_type=APPLY_PATCH)
        if body["kind"] == "CustomResourceDefinition":
            _wait_until_established(client, path.path)


def _wait_until_established(client: KubeClient, path: str) -> None:
    """Wait until the API server no longer changes a new CRD, because Pulumi's update would be a conflict.

    Pulumi itself reports a CRD that is not established in time.
    """
    deadline = time.monotonic() + _ESTABLISHED_TIMEOUT_S
    while time.monotonic() < deadline:
        if find_condition(client.request("GET", path) or {}, "Established").get("status") == "True":
            return
        time.sleep(0.2)
