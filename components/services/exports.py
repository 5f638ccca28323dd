"""Exports of services, with the resources that must be there before and after each of them.

The resources of one exported service, each of which depends on the former:

1. the Service and the wait for its pods;
2. a cleanup for each source, whose deletion waits until the source no longer has the mirror;
3. the export label (`components.services.service_export`);
4. a record whose hook waits until each source can use its mirror.

Routes depend on the record. So a new route finds its mirrors, and `up` or `destroy` deletes in the reverse order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi

from components.cluster import Cluster
from components.sdk.hooks import HookStep
from components.services.export_cleanup import ExportCleanup
from components.services.mesh_namespace import IncomingLink, MeshNamespace
from components.services.service_export import ServiceExport
from components.traffic_order import wait_binding, wait_on_cluster
from mesh.config.models.links import SelectorsConfig
from mesh.config.models.services import ExportMode
from mesh.export_labels import export_labels

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.kube.client import METADATA_MEDIA_TYPE
from mesh.kube.federated_services import federated_service_name
from mesh.mirrors import mirror_name
from mesh.readiness.usable_services import RequiredService, ServicesNotUsableError
from mesh.service_facts import ServiceKey
from mesh.topology import Link

# A hub can have hundreds of sources.
_MAX_CONCURRENT_WAITS = 8


@dataclass(frozen=True, kw_only=True)
class ExportedService:
    """A Service to export."""

    resource_prefix: str  # beginning of the names of its resources
    parent: pulumi.Resource
    namespace: MeshNamespace
    name: str
    labels: Mapping[str, str]  # labels of the Service, without those of the export
    mode: ExportMode | None  # None: only a member of a federated service
    is_federated: bool
    usable_after: Sequence[pulumi.Resource]  # the Service, and the wait for its pods
    # Whether a mirror must have endpoints. The pods of other owners may be scaled to zero.
    needs_endpoints: bool = True
    uid: str = ""  # UID of a Service of another owner

    @property
    def cluster(self) -> Cluster:
        """Return the cluster of the Service."""
        return self.namespace.cluster

    @property
    def export_labels(self) -> dict[str, str]:
        """Return the labels by which Linkerd mirrors the Service."""
        return export_labels(self.mode, is_federated=self.is_federated)


class Exports:
    """Resources after which a Service is usable, in its own cluster and as a mirror in others."""

    def __init__(self) -> None:
        self._local: dict[ServiceKey, Sequence[pulumi.Resource]] = {}
        self._mirrored: dict[ServiceKey, Sequence[pulumi.Resource]] = {}
        self._last_members: dict[tuple[str, str], Sequence[pulumi.Resource]] = {}

    def set_last_member(self, service: ExportedService, mirrored: Sequence[pulumi.Resource]) -> None:
        """Let the next member of a federated service join after this one, if the service is a member.

        Args:
            service: the member.
            mirrored: resources after which it is a member in all sources.
        """
        if service.is_federated:
            self._last_members[service.namespace.name, service.name] = mirrored

    def find_last_member(self, namespace: str, service: str) -> Sequence[pulumi.Resource]:
        """Return the resources after which the next member may join a federated service."""
        return self._last_members.get((namespace, service), [])

    def add(
        self,
        cluster: str,
        namespace: str,
        service: str,
        *,
        local: Sequence[pulumi.Resource],
        mirrored: Sequence[pulumi.Resource] = (),
    ) -> None:
        """Add a Service.

        Args:
            cluster: cluster of the Service.
            namespace: namespace of the Service.
            service: name of the Service.
            local: resources after which the Service is usable in its cluster.
            mirrored: resources after which its mirrors are usable too.
        """
        self._local[cluster, namespace, service] = local
        self._mirrored[cluster, namespace, service] = [*local, *mirrored]

    def find(self, cluster: str, namespace: str, service: str, *, source: str) -> Sequence[pulumi.Resource]:
        """Return the resources after which a Service is usable; none if another program creates the Service.

        Args:
            cluster: cluster of the Service.
            namespace: namespace of the Service.
            service: name of the Service.
            source: cluster of the clients.
        """
        resources = self._local if cluster == source else self._mirrored
        return resources.get((cluster, namespace, service), [])

    def find_in_all_clusters(self, namespace: str, service: str) -> Sequence[pulumi.Resource]:
        """Return the resources after which a Service is usable in each cluster that has one so far."""
        return [
            resource
            for key, resources in self._local.items()
            if key[1:] == (namespace, service)
            for resource in resources
        ]


def mirror_origin(target: str) -> str:
    """Return who creates the mirrors of a cluster's services, for messages."""
    return f"created by the service mirror for {target}"


def create_export(
    service: ExportedService, exports: Exports, namespaces: Mapping[tuple[str, str], MeshNamespace]
) -> list[pulumi.Resource]:
    """Export a Service, and return the resources after which its mirrors are usable.

    Args:
        service: the Service.
        exports: registry of the Services and their mirrors.
        namespaces: namespaces that the program creates, by the names of their cluster and of the namespace.
    """
    if service.mode is None and not service.is_federated:
        return []
    dependencies = [*service.usable_after, *_create_cleanups(service)]
    # Linkerd's controllers lose one of two members that join at the same time: a controller that finds the federated
    # service just created does not add its own member.
    last_member = exports.find_last_member(service.namespace.name, service.name) if service.is_federated else []
    labels = [
        ServiceExport(
            f"{service.resource_prefix}{label.rpartition('/')[2]}",
            cluster=service.cluster,
            namespace=service.namespace.name,
            service=service.name,
            label=label,
            value=value,
            service_uid=service.uid,
            # Hidden dependencies: the pods that answer, the controllers, the cleanups, which are deleted later, and the
            # member before this one.
            opts=pulumi.ResourceOptions(parent=service.parent, depends_on=[*dependencies, *last_member]),
        )
        for label, value in service.export_labels.items()
    ]
    sources = [each.source.name for each in service.namespace.incoming_links]
    source_namespaces = [namespaces.get((source, service.namespace.name)) for source in sources]
    # The controllers create no mirror without its namespace.
    existing = [resource for each in source_namespaces if each is not None for resource in each.resources]
    mirrored = [*labels, *_create_mirror_wait(service, [*labels, *existing])]
    exports.set_last_member(service, mirrored)
    return mirrored


def _create_cleanups(service: ExportedService) -> list[pulumi.Resource]:
    """Create the cleanups of a Service, and return them with the controllers that create the mirrors."""
    incoming, multicluster = service.namespace.incoming_links, service.namespace.mesh_cluster.multicluster
    mirrors: list[tuple[str, IncomingLink, bool]] = []
    if service.mode is not None:
        mirrors += [("export", each, False) for each in incoming if each.link.mirrors(service.mode)]
    if service.is_federated:
        mirrors += [("member", each, True) for each in incoming if each.link.has_remote_discovery]
    # Mirrors need the gateway, and the cluster's own controllers watch federated services.
    resources: list[pulumi.Resource] = [multicluster.ready] if multicluster is not None else []
    resources += [
        _create_cleanup(service, f"{prefix}-{each.source.name}", each.source, each.component, is_member=is_member)
        for prefix, each, is_member in mirrors
    ]
    if service.is_federated and multicluster is not None:
        resources.append(_create_cleanup(service, "member", service.cluster, multicluster, is_member=True))
    return resources


def _create_cleanup(
    service: ExportedService, role: str, source: Cluster, controller: pulumi.Resource | None, *, is_member: bool
) -> pulumi.Resource:
    controllers = [controller] if controller is not None else []
    return ExportCleanup(
        f"{service.resource_prefix}{role}",
        service=service.name,
        namespace=service.namespace.name,
        target=service.cluster,
        source=source,
        is_federated=is_member,
        # Hidden dependencies: the controller deletes the mirror, and the pods answer until then, so all of them must be
        # deleted after the cleanup.
        opts=pulumi.ResourceOptions(parent=service.parent, depends_on=[*service.usable_after, *controllers]),
    )


def _create_mirror_wait(service: ExportedService, depends_on: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
    """Create the record of the mirrors of a Service, whose hook waits until new ones are usable."""
    mirrors = _list_mirrors(service)
    if not mirrors:
        return []
    name = f"{service.resource_prefix}mirrors"
    # A cluster that becomes unreachable must not change the record.
    record = {source: _mirror_record(mirror) for source, (mirror, _) in mirrors.items()}
    wait = partial(_wait_for_mirrors, name, service.namespace.name, mirrors)
    return [
        pulumi.Stash(
            name,
            input=record,
            opts=pulumi.ResourceOptions(
                parent=service.parent,
                # Hidden dependencies: the labels and namespaces, after which the controllers create the mirrors.
                depends_on=list(depends_on),
                hooks=wait_binding(name, wait),
            ),
        )
    ]


_Mirrors = Mapping[str, tuple[Sequence[RequiredService], Cluster]]


def _list_mirrors(service: ExportedService) -> dict[str, tuple[list[RequiredService], Cluster]]:
    """Return the Services that sources will have, by the name of the source."""
    mirrors: dict[str, tuple[list[RequiredService], Cluster]] = {}
    labels = {**service.labels, **service.export_labels}
    for each in service.namespace.incoming_links:
        if required := list(_required_services(service, each.link, each.selectors, labels)):
            mirrors[each.source.name] = required, each.source
    if service.is_federated and service.namespace.mesh_cluster.multicluster is not None:
        own = _federated_service(service, "", "created by the local service mirror")
        mirrors[service.cluster.name] = [own], service.cluster
    return mirrors


def _required_services(
    service: ExportedService, link: Link, selectors: SelectorsConfig, labels: Mapping[str, str]
) -> list[RequiredService]:
    target, required = service.cluster.name, []
    origin = mirror_origin(target)
    if service.mode is not None and link.mirrors(service.mode):
        selector = selectors.gateway if service.mode == "gateway" else selectors.remote_discovery
        if selector.items() <= labels.items():
            mirror = mirror_name(service.name, target)
            required.append(
                RequiredService(
                    namespace=service.namespace.name,
                    name=mirror,
                    origin=origin,
                    needs_endpoint=service.needs_endpoints,
                )
            )
    if service.is_federated and link.has_remote_discovery and selectors.federated.items() <= labels.items():
        required.append(_federated_service(service, target, origin))
    return required


def _federated_service(service: ExportedService, cluster: str, origin: str) -> RequiredService:
    return RequiredService(
        namespace=service.namespace.name,
        name=federated_service_name(service.name),
        origin=origin,
        member=(service.name, cluster),
    )


def _mirror_record(mirrors: Sequence[RequiredService]) -> list[str]:
    return [each.name for each in mirrors]


def _wait_for_mirrors(name: str, namespace: str, mirrors: _Mirrors, step: HookStep) -> None:
    """Wait for the mirrors that a step adds; a source without the namespace has no mirrors.

    Raises:
        ServicesNotUsableError: mirrors are not usable in time, with those of all sources.
    """
    # Imported before the threads start, because a thread could otherwise use a partially imported package.
    import kubernetes.client  # noqa: F401

    former: Mapping[str, Any] = step.old_outputs.get("input") or {}
    began = time.monotonic()

    def wait(source: str) -> str | None:
        services, cluster = mirrors[source]
        try:
            client = kube_client.connect(cluster.access)
            if client.request("GET", f"/api/v1/namespaces/{namespace}", accept=METADATA_MEDIA_TYPE) is not None:
                wait_on_cluster(cluster, name, services, step.report_status, began=began)
        except ServicesNotUsableError as error:
            return str(error)
        return None

    added = [
        source
        for source, (services, cluster) in mirrors.items()
        if former.get(source) != _mirror_record(services) and cluster.settings.reachable
    ]
    with ThreadPoolExecutor(max_workers=_MAX_CONCURRENT_WAITS) as pool:
        errors = [error for error in pool.map(wait, added) if error is not None]
    if errors:
        raise ServicesNotUsableError("\n".join(errors))
