"""Membership of a namespace in the mesh: its annotations, and the restart of the workloads that run already.

Linkerd's injector reads the annotations when a pod is created, so only a restart changes pods that exist. Each of these
resources depends on the former:

1. a cleanup, whose deletion restarts the workloads that still have a proxy;
2. the annotations (`components.services.object_metadata`), unless the program creates the namespace;
3. a record whose hook restarts the workloads that do not match the annotations (`mesh.workload_restart`).

So `destroy` removes the annotations first, then the proxies, and the policies and the control plane last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import ProxyCleanupProvider
from components.sdk.hooks import HookStep, bind_step_hook
from components.services.object_metadata import ObjectMetadata

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.kube.client import METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import INJECT_ANNOTATION, NAMESPACE_MANAGER_SUFFIX
from mesh.kube.json_access import as_mapping
from mesh.proxied_workloads import ENABLED_VALUES, ProxyRule
from mesh.readiness.limits import WaitLimits
from mesh.readiness.remedies import RemedySettings
from mesh.workload_restart import RestartError, WorkloadRestart

if TYPE_CHECKING:
    # The import takes seconds, and the provider's process does not need it.
    from components.cluster import Cluster

# All restarts of one namespace together, when it leaves the mesh. `destroy` then continues with a warning.
CLEANUP_TIMEOUT_S = 600


class ProxyCleanup(Resource, module="multicluster-mesh", name="ProxyCleanup"):
    """The proxies of a namespace, which the deletion of this resource removes by a restart of the workloads.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: cluster of the namespace.
        namespace: name of the namespace.
        opts: resource options; the annotations must depend on this resource, so that they are deleted first.
    """

    def __init__(self, resource_name: str, *, cluster: Cluster, namespace: str, opts: pulumi.ResourceOptions) -> None:
        props = {
            "cluster": cluster.name,
            "namespace": namespace,
            "fieldManager": cluster.identity.field_manager,
        }
        super().__init__(ProxyCleanupProvider(), resource_name, {**cluster.access_inputs, **props}, opts)


def create_namespace_membership(
    resource_name: str,
    cluster: Cluster,
    namespace: str,
    *,
    namespace_uid: str,
    annotations: Mapping[str, str],
    meshed: bool | None,
    restart: bool,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> list[pulumi.Resource]:
    """Annotate a namespace of another owner, restart its workloads if requested, and return the resources.

    Args:
        resource_name: beginning of the names of the Pulumi resources.
        cluster: cluster of the namespace.
        namespace: name of the namespace.
        namespace_uid: UID of the namespace.
        annotations: annotations of the namespace.
        meshed: whether its pods must have a proxy; None: as it is.
        restart: whether the workloads whose pods do not match are restarted.
        parent: component of the namespace.
        depends_on: the resources that new proxies need, such as the control plane and the policies.
    """
    resources: list[pulumi.Resource] = []
    if restart and meshed:
        resources.append(
            ProxyCleanup(
                f"{resource_name}-proxies",
                cluster=cluster,
                namespace=namespace,
                # Hidden dependencies: the restarts happen before the control plane and the policies are deleted.
                opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on)),
            )
        )
    if annotations:
        resources.append(
            ObjectMetadata(
                f"{resource_name}-annotations",
                cluster=cluster,
                kind="Namespace",
                object_name=namespace,
                object_uid=namespace_uid,
                purpose=NAMESPACE_MANAGER_SUFFIX,
                annotations=annotations,
                # Hidden dependencies: the injector, the policies that a default policy needs, and the cleanup, which
                # is deleted later.
                opts=pulumi.ResourceOptions(parent=parent, depends_on=[*depends_on, *resources]),
            )
        )
    if restart and meshed is not None:
        resources.append(
            create_namespace_restart(
                f"{resource_name}-restart",
                cluster,
                namespace,
                annotations=annotations,
                meshed=meshed,
                parent=parent,
                depends_on=[*depends_on, *resources],
            )
        )
    return resources


def create_namespace_restart(
    resource_name: str,
    cluster: Cluster,
    namespace: str,
    *,
    annotations: Mapping[str, str],
    meshed: bool,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> pulumi.Resource:
    """Return the record of a namespace's membership, whose hook restarts the workloads that do not match it.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: cluster of the namespace.
        namespace: name of the namespace.
        annotations: annotations of the namespace.
        meshed: whether its pods must have a proxy.
        parent: component of the namespace.
        depends_on: resources after which new pods match, such as the annotations.
    """
    access, limits, field_manager = cluster.access, cluster.wait_limits, cluster.identity.field_manager
    settings = _remedy_settings(cluster.name, namespace, cluster.settings.context.name)

    def restart(step: HookStep) -> None:
        former = as_mapping(step.old_outputs.get("input"), "annotations")
        WorkloadRestart(
            kube_client.connect(access),
            namespace,
            ProxyRule(is_meshed=meshed, annotations=annotations, former_annotations=former),
            settings=settings,
            limits=limits,
            field_manager=field_manager,
            report=step.report_status,
            warn=step.warn,
        ).run()

    return pulumi.Stash(
        resource_name,
        input={"meshed": meshed, "annotations": dict(annotations)},
        opts=pulumi.ResourceOptions(
            parent=parent,
            # Hidden dependencies: the annotations, by which new pods get a proxy.
            depends_on=list(depends_on),
            hooks=bind_step_hook(resource_name, restart),
        ),
    )


def remove_proxies(
    client: KubeClient, props: Mapping[str, Any], *, report: Callable[[str], None], warn: Callable[[str], None]
) -> None:
    """Restart the workloads of a namespace that still have a proxy, unless its new pods would get one again.

    Args:
        client: the cluster's client.
        props: properties of a `ProxyCleanup`.
        report: called with status lines.
        warn: called with each workload that keeps its proxy.

    Raises:
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the workloads cannot be read or changed.
    """
    namespace = props["namespace"]
    live = client.request("GET", f"/api/v1/namespaces/{quote(namespace, safe='')}", accept=METADATA_MEDIA_TYPE)
    metadata = as_mapping(live, "metadata")
    is_meshed = as_mapping(metadata, "annotations").get(INJECT_ANNOTATION) in ENABLED_VALUES
    if live is None or metadata.get("deletionTimestamp") or is_meshed:
        return
    try:
        WorkloadRestart(
            client,
            namespace,
            ProxyRule(is_meshed=False),
            settings=_remedy_settings(props["cluster"], namespace, props["context"]),
            limits=WaitLimits(timeout_s=CLEANUP_TIMEOUT_S),
            field_manager=props["fieldManager"],
            report=report,
            warn=warn,
            deadline=time.monotonic() + CLEANUP_TIMEOUT_S,
        ).run()
    except RestartError as error:
        warn(format_remaining(props, str(error), error.remaining))


def format_remaining(props: Mapping[str, Any], reason: str, workloads: Sequence[str] = ()) -> str:
    """Return the warning that workloads of a namespace keep their proxies.

    Args:
        props: properties of a `ProxyCleanup`.
        reason: why they were not restarted.
        workloads: kinds and names of the workloads; empty: unknown.
    """
    settings = _remedy_settings(props["cluster"], props["namespace"], props["context"])
    names = " ".join(each.lower().replace(" ", "/") for each in workloads) or "deployment,statefulset,daemonset"
    command = settings.kubectl(f"rollout restart {names}", props["namespace"])
    subject = ", ".join(workloads) or "its workloads"
    return f"{settings.subject}: {subject} can still have a proxy: {reason}; restart what has one: {command}"


def _remedy_settings(cluster: str, namespace: str, context: str) -> RemedySettings:
    return RemedySettings(cluster=cluster, owner=f"namespace {namespace}", context=context)
