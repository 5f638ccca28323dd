"""Namespaces of the stack, and the wait for their deletion.

Pulumi requests the deletion of a namespace and does not wait for it (`pulumi.com/skipAwait`). The namespace controller
starts five seconds after the request. If Pulumi waited, each namespace would occupy one of its parallel operations for
this time, and the namespaces of many clusters would be deleted a few at a time.

So each namespace depends on a resource that creates nothing. Its deletion waits until the namespace is deleted. Pulumi
deletes all namespaces before the first of these resources, so the waits run at the same time.

The namespace controller can delay a deletion indefinitely, for example while an aggregated API is unavailable. The
resource reports the conditions of the namespace. If the namespace is not deleted in time, the resource stays in the
stack state. The next `destroy` then waits and reports again.

Follows https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/namespace/namespace_controller.go.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import NamespaceDeletionProvider
from components.sdk.kubernetes_object import KubernetesObject
from mesh.kube.api_services import API_SERVICES_PATH, UnavailableApi, find_unavailable_apis
from mesh.kube.errors import KubeError
from mesh.kube.terminating_namespaces import deletion_remedy, format_causes, is_terminating

if TYPE_CHECKING:
    # Their dependencies take seconds to import, and the provider's process does not need them.
    from components.cluster import Cluster
    from mesh.kube.client import KubeClient

# As long as Pulumi's own limit for the deletion of an object.
NAMESPACE_DELETION_TIMEOUT_S = 600.0
# Most deletions end earlier, and need no report.
FIRST_REPORT_S = 20.0
# A report of remaining objects would otherwise follow each object's deletion.
REPORT_INTERVAL_S = 30.0
# The deletion is requested before, unless the state is of a version of this program that did both at the same time.
DELETION_START_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 0.2

# `print`, which Pulumi's log calls in a dynamic provider, writes the text and the line end separately.
_warning_lock = threading.Lock()


class NamespaceDeletion(Resource, module="multicluster-mesh", name="NamespaceDeletion"):
    """The wait for the deletion of one namespace.

    Args:
        name: name of the Pulumi resource.
        cluster: the cluster.
        namespace: name of the namespace.
        opts: resource options.
    """

    def __init__(
        self, name: str, *, cluster: Cluster, namespace: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props = {"cluster": cluster.name, **cluster.access_inputs, "namespace": namespace}
        super().__init__(NamespaceDeletionProvider(), name, props, opts)


def create_namespace(
    resource_name: str,
    cluster: Cluster,
    namespace: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    opts: pulumi.ResourceOptions,
) -> KubernetesObject:
    """Create a namespace that this stack owns.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: the cluster.
        namespace: name of the namespace.
        labels: labels of the namespace.
        annotations: annotations of the namespace.
        opts: resource options, with the cluster's provider.
    """
    deletion = NamespaceDeletion(
        f"{resource_name}-deletion",
        cluster=cluster,
        namespace=namespace,
        opts=pulumi.ResourceOptions(parent=opts.parent),
    )
    return KubernetesObject(
        resource_name,
        "v1",
        "Namespace",
        metadata=cluster.namespace_metadata(namespace, labels=labels, annotations=annotations),
        # Hidden dependency: the wait must run after the request to delete the namespace.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[deletion])),
    )


def deleted_with(namespace: KubernetesObject, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Return the options of an object that Pulumi leaves to the namespace controller if it deletes the namespace.

    Suitable for Secrets. Pods are unsuitable: the controller would wait for their grace period.
    """
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(deleted_with=namespace))


def wait_for_deletion(client: KubeClient, cluster: str, namespace: str, warn: Callable[[str], None]) -> None:
    """Wait until a namespace is deleted, and report the causes that delay its deletion.

    Return after five seconds if the deletion was not requested, or if the API server does not answer.

    Args:
        client: the cluster's client.
        cluster: name of the cluster, for messages.
        namespace: name of the namespace.
        warn: called with each report.

    Raises:
        TimeoutError: the namespace still exists, so the resource must stay in the stack state.
    """
    start = time.monotonic()
    live: dict[str, Any] | None = None
    report_at, last_report = 0.0, ""
    while True:
        now = time.monotonic()
        try:
            live = client.request("GET", f"/api/v1/namespaces/{namespace}")
        except KubeError:
            if not report_at and now >= start + DELETION_START_TIMEOUT_S:
                return
        else:
            if live is None:
                return
            if is_terminating(live):
                report_at = report_at or now + FIRST_REPORT_S
            elif now >= start + DELETION_START_TIMEOUT_S:
                return
        if live is not None:
            if now >= start + NAMESPACE_DELETION_TIMEOUT_S:
                raise TimeoutError(
                    f"{_format_report(client, cluster, namespace, live, now - start)}, then run the command again"
                )
            if report_at and now >= report_at:
                causes = format_causes(live)
                if causes != last_report:
                    report = _format_report(client, cluster, namespace, live, now - start)
                    with _warning_lock:
                        warn(f"{report}; Pulumi continues to wait")
                last_report, report_at = causes, now + REPORT_INTERVAL_S
        time.sleep(_POLL_INTERVAL_S)


def _format_report(client: KubeClient, cluster: str, namespace: str, live: Mapping[str, Any], duration_s: float) -> str:
    rule = f"still Terminating after {duration_s:.0f} seconds ({format_causes(live)})"
    return f"{cluster}: namespace {namespace}: {rule}; {deletion_remedy(live, _find_unavailable_apis(client))}"


def _find_unavailable_apis(client: KubeClient) -> list[UnavailableApi]:
    try:
        return list(find_unavailable_apis(client.request("GET", API_SERVICES_PATH) or {}))
    except KubeError:  # the user may not read them
        return []
