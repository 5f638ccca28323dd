"""Namespaces of the stack, and reports on a deletion that takes long.

The namespace controller can delay the deletion of a namespace indefinitely, for example while an aggregated API is
unavailable. Pulumi waits ten minutes without a report, and its error names no cause. So each namespace has a resource
that creates nothing. Its deletion runs at the same time as the namespace's, because both have the same parent and
provider, and nothing depends on it. The resource reads the namespace, reports its conditions, and ends with it.

If the namespace is not deleted in time, the resource stays in the stack state. The next `destroy` then reports again.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
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

# Pulumi's own limit for the deletion of an object.
NAMESPACE_DELETION_TIMEOUT_S = 600.0
# Most deletions end earlier, and need no report.
FIRST_REPORT_S = 20.0
# A report of remaining objects would otherwise follow each object's deletion.
REPORT_INTERVAL_S = 30.0
# Pulumi starts both deletions at the same time, unless too many steps run already.
DELETION_START_TIMEOUT_S = 5.0
# Pulumi runs four operations of dynamic providers at a time, for all clusters together. One must stay free.
MAX_WAITING_DELETIONS = 3
_POLL_INTERVAL_S = 0.2
_BACKGROUND_POLL_INTERVAL_S = 1.0

_waiting_deletions = threading.BoundedSemaphore(MAX_WAITING_DELETIONS)
# `print`, which Pulumi's log calls in a dynamic provider, writes the text and the line end separately.
_warning_lock = threading.Lock()


class NamespaceDeletion(Resource, module="multicluster-mesh", name="NamespaceDeletion"):
    """The deletion of one namespace.

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
) -> pulumi.Output[str]:
    """Create a namespace that this stack owns, and return its name, known once the namespace exists.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: the cluster.
        namespace: name of the namespace.
        labels: labels of the namespace.
        annotations: annotations of the namespace.
        opts: resource options, with the cluster's provider.
    """
    created = KubernetesObject(
        resource_name,
        "v1",
        "Namespace",
        metadata=cluster.namespace_metadata(namespace, labels=labels, annotations=annotations),
        opts=opts,
    )
    NamespaceDeletion(
        f"{resource_name}-deletion",
        cluster=cluster,
        namespace=namespace,
        # Hidden dependency: the namespace's provider. Pulumi deletes resources of equal depth at the same time.
        opts=pulumi.ResourceOptions(parent=opts.parent, depends_on=[cluster.provider]),
    )
    return created.name


def report_deletion(client: KubeClient, cluster: str, namespace: str, warn: Callable[[str], None]) -> None:
    """Report the causes that delay the deletion of a namespace, and return once it is deleted.

    Return at once if the reports come from a thread in the background: if enough other deletions are waiting, or if the
    deletion has not begun. The thread ends with the process, which is Pulumi's command.

    Args:
        client: the cluster's client.
        cluster: name of the cluster, for messages.
        namespace: name of the namespace.
        warn: called with each report.

    Raises:
        TimeoutError: the namespace still exists, so the resource must stay in the stack state.
    """
    if _waiting_deletions.acquire(blocking=False):
        try:
            if _follow_deletion(client, cluster, namespace, warn, _POLL_INTERVAL_S, DELETION_START_TIMEOUT_S):
                return
        finally:
            _waiting_deletions.release()

    def follow_in_background() -> None:
        with suppress(TimeoutError):  # Pulumi's own deletion fails at that time
            limits_s = (_BACKGROUND_POLL_INTERVAL_S, NAMESPACE_DELETION_TIMEOUT_S)
            _follow_deletion(client, cluster, namespace, warn, *limits_s)

    # Pulumi's log reads context variables.
    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(follow_in_background,), daemon=True).start()


def _follow_deletion(
    client: KubeClient,
    cluster: str,
    namespace: str,
    warn: Callable[[str], None],
    poll_interval_s: float,
    start_timeout_s: float,
) -> bool:
    """Report on the deletion of a namespace until it ends; return False if it has not begun in time."""
    start = time.monotonic()
    live: dict[str, Any] | None = None
    report_at, last_report = 0.0, ""
    while True:
        try:
            live = client.request("GET", f"/api/v1/namespaces/{namespace}")
        except KubeError:
            if not report_at:
                return True  # Pulumi reports the same error for the namespace
        now = time.monotonic()
        if live is None:
            return True
        if is_terminating(live):
            report_at = report_at or now + FIRST_REPORT_S
        elif now >= start + start_timeout_s:
            return False
        if now >= start + NAMESPACE_DELETION_TIMEOUT_S:
            raise TimeoutError(
                f"{_format_report(client, cluster, namespace, live, now - start)}, then run the command again"
            )
        if report_at and now >= report_at:
            causes = format_causes(live)
            if causes != last_report:
                with _warning_lock:
                    warn(f"{_format_report(client, cluster, namespace, live, now - start)}; Pulumi continues to wait")
            last_report, report_at = causes, now + REPORT_INTERVAL_S
        time.sleep(poll_interval_s)


def _format_report(client: KubeClient, cluster: str, namespace: str, live: Mapping[str, Any], duration_s: float) -> str:
    rule = f"still Terminating after {duration_s:.0f} seconds ({format_causes(live)})"
    return f"{cluster}: namespace {namespace}: {rule}; {deletion_remedy(live, _find_unavailable_apis(client))}"


def _find_unavailable_apis(client: KubeClient) -> list[UnavailableApi]:
    try:
        return list(find_unavailable_apis(client.request("GET", API_SERVICES_PATH) or {}))
    except KubeError:  # the user may not read them
        return []
