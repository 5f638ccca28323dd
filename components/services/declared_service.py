"""A service that others deploy: its export, splits, failover, routes and policies on one cluster.

The Service stays its owner's. The program sets labels and annotations with a field manager of its own, and creates only
objects that name the Service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import pulumi

from components.services.backends import failover_annotations
from components.services.exports import ExportedService, Exports, create_export
from components.services.mesh_namespace import MeshNamespace
from components.services.object_metadata import ObjectMetadata
from components.services.service_policy import create_policies, protected_ports
from components.services.traffic_component import TrafficComponent
from components.services.traffic_rules import create_traffic_rules
from components.services.traffic_split import RoutedPort
from mesh import config
from mesh.config.models.services import SplitsConfig
from mesh.linkerd_releases import LinkerdRelease
from mesh.service_facts import LiveService
from mesh.service_policy import resolve_permissions
from mesh.service_ports import ServicePort, select_ports


def routed_ports(ports: list[ServicePort], linkerd_release: LinkerdRelease) -> list[RoutedPort]:
    """Return the ports whose requests routes can match, with the kind of the routes.

    An HTTPRoute matches gRPC requests too, so it is used before Linkerd had GRPCRoutes.

    Args:
        ports: the ports of the service.
        linkerd_release: the Linkerd release of the mesh.
    """
    has_grpc_routes = linkerd_release.grpc_route is not None
    return [
        RoutedPort(
            number=port.number,
            kind="GRPCRoute" if port.protocol == "grpc" and has_grpc_routes else "HTTPRoute",
            role_suffix=f"-{port.number}",
            name_suffix=f".{port.number}",
        )
        for port in ports
        if port.protocol != "tcp"
    ]


def remove_pending(settings: SplitsConfig, pending: Collection[str]) -> SplitsConfig:
    """Return splits and failovers, without those that wait for a service that does not exist yet.

    Args:
        settings: splits and failovers of the service.
        pending: clusters that do not have the service yet.
    """

    def has_all(targets: Iterable[str]) -> bool:
        return not set(targets) & set(pending)

    return SplitsConfig(
        splits=[
            split
            for split in settings.splits
            if has_all(cluster for cluster, weight in split.weights.items() if weight)
        ],
        failover=[failover for failover in settings.failover if has_all(failover.targets)],
    )


class DeclaredServiceComponent(TrafficComponent):
    """A service of `services` on one cluster.

    Args:
        namespace: namespace of the Service.
        service: settings of the service.
        live: the Service.
        stack: settings of the stack.
        pending: clusters that do not have the service yet.
        opts: resource options.
    """

    def __init__(
        self,
        namespace: MeshNamespace,
        service: config.DeclaredService,
        live: LiveService,
        stack: config.Settings,
        *,
        pending: Collection[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        self.service, self.live, self._stack = service, live, stack
        self._splits = remove_pending(service.config, pending)
        # Kubernetes allows no dots in the names of namespaces and Services, so no two resources have the same name.
        name = f"{namespace.cluster.name}-{namespace.name}.{service.name}"
        super().__init__("multicluster-mesh:index:DeclaredService", name, namespace, separator=".", opts=opts)
        self.register_outputs({})

    def create_policies(self) -> list[pulumi.Resource]:
        """Create the policies of the ports, and return the last objects."""
        settings = self.service.config
        if settings.allow is None:
            return []
        permissions = resolve_permissions(self.service, self.cluster.settings, self._stack)
        ports = protected_ports(select_ports(settings.ports, self.live))
        return create_policies(self, self.service.name, settings.policy, ports, self.live.selector, permissions)

    def export_services(self, exports: Exports, namespaces: Mapping[tuple[str, str], MeshNamespace]) -> None:
        """Export the Service, and add it to the registry.

        Args:
            exports: registry of the Services and their mirrors.
            namespaces: namespaces of the stack, by the names of their cluster and of the namespace.
        """
        cluster, service = self.cluster.name, self.service
        usable_after = [*self.namespace.joined, *self._annotate_failover()]
        exported = ExportedService(
            resource_prefix=self.resource_prefix,
            parent=self,
            namespace=self.namespace,
            name=service.name,
            labels=self.live.labels,
            mode=service.export_modes.get(cluster),
            is_federated=cluster in service.config.federated,
            usable_after=usable_after,
            needs_endpoints=False,
            uid=self.live.uid,
        )
        mirrored = create_export(exported, exports, namespaces)
        exports.add(cluster, service.namespace, service.name, local=usable_after, mirrored=mirrored)

    def _annotate_failover(self) -> list[pulumi.Resource]:
        """Let failures make the Service unavailable if its requests fail over; a ServiceProfile would disable that."""
        service, profile = self.service, self.service.profile
        annotations = failover_annotations(self.cluster.name, self._splits.failover)
        if annotations is None or (profile is not None and profile.form == "service-profile"):
            return []
        return [
            ObjectMetadata(
                self.resource_name("failure-accrual"),
                cluster=self.cluster,
                kind="Service",
                object_name=service.name,
                namespace=service.namespace,
                object_uid=self.live.uid,
                purpose="failover",
                annotations=annotations,
                opts=pulumi.ResourceOptions(parent=self),
            )
        ]

    def create_traffic_rules(self, exports: Exports) -> None:
        """Create the splits, failovers and routes.

        Args:
            exports: registry of the Services and their mirrors.
        """
        ports = select_ports(self.service.config.ports, self.live)
        routed = routed_ports(ports, self.cluster.settings.linkerd_release)
        create_traffic_rules(self, exports, self.service.name, routed, self._splits, self.service.profile)
