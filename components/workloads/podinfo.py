"""Podinfo: a small web service whose greeting contains the name of its cluster.

Follows https://github.com/stefanprodan/podinfo (ports, probes, user) and https://linkerd.io/2.14/tasks/multicluster/
(namespace `test`, export label, and a `frontend` that sends requests to podinfo).
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.services.authorization_policy import Protocol, allow_access
from components.services.backends import failover_annotations
from components.services.exports import Exports
from components.services.mesh_namespace import MeshNamespace
from components.services.traffic_rules import create_traffic_rules
from components.services.traffic_split import RoutedPort
from components.workloads.frontend import create_frontend
from components.workloads.manifests import container_spec, environment
from components.workloads.sample_component import SampleComponent
from mesh import config
from mesh.config.models.samples import PodinfoConfig
from mesh.images import PODINFO_IMAGE
from mesh.service_profiles.routes import ProfileRoute

NAME = "podinfo"
_LABELS = {"app": NAME}
_HTTP_PORT, _GRPC_PORT = 9898, 9999
_ROUTED_PORTS = (
    RoutedPort(number=_HTTP_PORT),
    RoutedPort(number=_GRPC_PORT, kind="GRPCRoute", role_suffix="-grpc"),
)
_UID = 100

ROUTES = (
    ProfileRoute(name="GET /api/info", method="GET", path_regex="/api/info", timeout="300ms", is_retryable=True),
    ProfileRoute(name="POST /api/echo", method="POST", path_regex="/api/echo"),
)


def podinfo_container(cluster: str, image: str) -> dict[str, Any]:
    """Return the container, whose greeting contains the name of its cluster."""
    return container_spec(
        NAME,
        image,
        ports={"http": _HTTP_PORT, "grpc": _GRPC_PORT},
        probe={"httpGet": {"path": "/readyz", "port": "http"}},
        extra_fields={
            "command": ["./podinfo", f"--port={_HTTP_PORT}", f"--grpc-port={_GRPC_PORT}"],
            "env": environment({"PODINFO_UI_MESSAGE": f"greetings from {cluster}"}),
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        },
    )


class Podinfo(SampleComponent):
    """Podinfo in one namespace: a Deployment, a Service that can be exported, and optional traffic rules.

    Args:
        namespace: namespace of the sample.
        sample: settings of the sample.
        opts: resource options.
    """

    def __init__(
        self, namespace: MeshNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("multicluster-mesh:index:Podinfo", namespace, sample, opts)
        settings, cluster = sample.config, self.cluster.name
        assert isinstance(settings, PodinfoConfig)
        if cluster in sample.clusters:
            container = podinfo_container(cluster, self.resolve_image(NAME, PODINFO_IMAGE))
            self.create_deployment("", NAME, [container], labels=_LABELS, user=_UID)
            self.create_service(
                "service",
                NAME,
                {"http": (_HTTP_PORT, "http"), "grpc": (_GRPC_PORT, "grpc")},
                selector=_LABELS,
                annotations=failover_annotations(cluster, settings.failover),
                is_exported=True,
            )
        if cluster in settings.frontend:
            create_frontend(self, NAME, _HTTP_PORT)
        self.register_outputs({})

    def create_policies(self) -> list[pulumi.Resource]:
        """Create the policies of both ports."""
        settings = self.sample.config
        assert isinstance(settings, PodinfoConfig)
        if settings.policy is None:
            return []
        ports: tuple[tuple[str, Protocol], ...] = (("http", "HTTP/1"), ("grpc", "gRPC"))
        return [
            allow_access(
                self,
                settings.policy,
                f"podinfo-{port}",
                selector=_LABELS,
                port=port,
                protocol=protocol,
                clients=settings.policy_clients,
            )
            for port, protocol in ports
        ]

    def create_traffic_rules(self, exports: Exports) -> None:
        """Create the splits, failovers and routes."""
        settings = self.sample.config
        assert isinstance(settings, PodinfoConfig)
        create_traffic_rules(self, exports, NAME, _ROUTED_PORTS, settings, self.sample.profile, ROUTES)
