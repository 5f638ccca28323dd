"""Emojivoto: a web application of three services, and a bot that votes.

Follows https://linkerd.io/2.14/getting-started/#step-5-install-the-demo-app and
https://github.com/BuoyantIO/emojivoto (names, ports, images, labels).
"""

from __future__ import annotations

import pulumi

from components.services.authorization_policy import allow_access
from components.services.mesh_namespace import MeshNamespace
from components.workloads.manifests import container_spec, environment
from components.workloads.sample_component import SampleComponent
from mesh import config
from mesh.config.models.samples import EmojivotoConfig
from mesh.images import EMOJIVOTO_IMAGE

_VERSION = "v11"
_GRPC_PORT, _PROMETHEUS_PORT = 8080, 8801
# Unprivileged UID. The images have no user for it, and their self-contained programs need none.
_UID = 1000


class Emojivoto(SampleComponent):
    """Emojivoto in one namespace, with an optional policy that only `web` may call its backends.

    Args:
        namespace: namespace of the sample.
        sample: settings of the sample.
        opts: resource options.
    """

    def __init__(
        self, namespace: MeshNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("multicluster-mesh:index:Emojivoto", namespace, sample, opts)
        settings = sample.config
        assert isinstance(settings, EmojivotoConfig)
        for backend in ("emoji", "voting"):
            _create_backend(self, backend, is_exported=f"{backend}-svc" in settings.exported_services)
        _create_web(self, is_exported="web-svc" in settings.exported_services)
        _create_vote_bot(self)
        self.register_outputs({})

    def create_policies(self) -> list[pulumi.Resource]:
        """Create the policies of the two services behind `web`."""
        settings = self.sample.config
        assert isinstance(settings, EmojivotoConfig)
        if settings.policy is None:
            return []
        return [
            allow_access(
                self,
                settings.policy,
                f"{backend}-grpc",
                selector={"app": f"{backend}-svc"},
                port="grpc",
                protocol="gRPC",
                accounts=["web"],
                clients=settings.policy_clients,
            )
            for backend in ("emoji", "voting")
        ]


def _labels(name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": "emojivoto",
        "app.kubernetes.io/version": _VERSION,
    }


def _pod_labels(app: str) -> dict[str, str]:
    return {"app": app, "version": _VERSION}


def _create_backend(component: SampleComponent, name: str, *, is_exported: bool) -> None:
    service = f"{name}-svc"
    container = container_spec(
        service,
        component.resolve_image(service, EMOJIVOTO_IMAGE.format(service)),
        ports={"grpc": _GRPC_PORT, "prom": _PROMETHEUS_PORT},
        probe={"tcpSocket": {"port": "grpc"}},
        cpu="100m",
        extra_fields={"env": environment({"GRPC_PORT": str(_GRPC_PORT), "PROM_PORT": str(_PROMETHEUS_PORT)})},
    )
    component.create_deployment(
        name,
        name,
        [container],
        labels=_pod_labels(service),
        object_labels=_labels(name),
        user=_UID,
        needs_account=True,
    )
    ports: dict[str, tuple[int, int | str]] = {"grpc": (_GRPC_PORT, "grpc"), "prom": (_PROMETHEUS_PORT, "prom")}
    component.create_service(service, service, ports, selector={"app": service}, labels={}, is_exported=is_exported)


def _create_web(component: SampleComponent, *, is_exported: bool) -> None:
    namespace = component.namespace.name
    variables = {
        "WEB_PORT": "8080",
        "EMOJISVC_HOST": f"emoji-svc.{namespace}:{_GRPC_PORT}",
        "VOTINGSVC_HOST": f"voting-svc.{namespace}:{_GRPC_PORT}",
        "INDEX_BUNDLE": "dist/index_bundle.js",
    }
    container = container_spec(
        "web-svc",
        component.resolve_image("web-svc", EMOJIVOTO_IMAGE.format("web")),
        ports={"http": 8080},
        probe={"tcpSocket": {"port": "http"}},
        cpu="100m",
        extra_fields={"env": environment(variables)},
    )
    component.create_deployment(
        "web",
        "web",
        [container],
        labels=_pod_labels("web-svc"),
        object_labels=_labels("web"),
        user=_UID,
        needs_account=True,
    )
    component.create_service(
        "web-svc", "web-svc", {"http": (80, "http")}, selector={"app": "web-svc"}, labels={}, is_exported=is_exported
    )


def _create_vote_bot(component: SampleComponent) -> None:
    container = container_spec(
        "vote-bot",
        component.resolve_image("vote-bot", EMOJIVOTO_IMAGE.format("web")),
        extra_fields={
            "command": ["emojivoto-vote-bot"],
            "env": environment({"WEB_HOST": f"web-svc.{component.namespace.name}:80"}),
        },
    )
    component.create_deployment(
        "vote-bot",
        "vote-bot",
        [container],
        labels=_pod_labels("vote-bot"),
        object_labels=_labels("vote-bot"),
        user=_UID,
    )
