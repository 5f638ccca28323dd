"""Podinfo: a small web service, the same on each cluster, to see which one answers.

Follows https://github.com/stefanprodan/podinfo (ports, probes, user) and https://linkerd.io/2.14/tasks/multicluster/
(namespace `test`, exported by a label, and a `frontend` that asks it).
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.workloads.authorization_policy import allow_access
from components.workloads.manifests import SampleObjects, container_spec
from components.workloads.nginx import create_nginx
from components.workloads.sample_namespace import SampleNamespace
from components.workloads.service_profile import create_profile
from components.workloads.traffic_split import FAILURE_ACCRUAL_ANNOTATION, fail_over, split_backends, split_requests
from mesh import config
from mesh.config.models.samples import PodinfoConfig as PodinfoSettings
from mesh.config.models.samples import RouteConfig
from mesh.images import PODINFO_IMAGE

NAME = "podinfo"
FRONTEND = "frontend"
_LABELS = {"app": NAME}
_HTTP, _GRPC = 9898, 9999

ROUTES = (
    RouteConfig.model_validate({"method": "GET", "pathRegex": "/api/info", "timeout": "300ms", "isRetryable": True}),
    RouteConfig.model_validate({"method": "POST", "pathRegex": "/api/echo"}),
)

# What the frontend's nginx does with a request.
_ASK_PODINFO = f"proxy_pass http://{NAME}:{_HTTP};\nproxy_http_version 1.1;"


def podinfo_container(cluster: str, image: str) -> dict[str, Any]:
    """Its container, whose greeting says which cluster it runs on."""
    return container_spec(
        NAME,
        image,
        ports={"http": _HTTP, "grpc": _GRPC},
        probe={"httpGet": {"path": "/readyz", "port": "http"}},
        more={
            "command": ["./podinfo", f"--port={_HTTP}", f"--grpc-port={_GRPC}"],
            "env": [{"name": "PODINFO_UI_MESSAGE", "value": f"greetings from {cluster}"}],
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        },
    )


class Podinfo(pulumi.ComponentResource):
    """Podinfo in one place: a Deployment, a Service that may be exported, and what is wished for beside it.

    Args:
        place: where it goes.
        sample: its settings.
        opts: the usual resource options.
    """

    def __init__(
        self, place: SampleNamespace, sample: config.Sample, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        cluster = place.cluster.name
        name = f"{cluster}-{place.name}-podinfo"
        super().__init__("multicluster-mesh:index:Podinfo", name, None, opts)
        wanted = sample.part
        assert isinstance(wanted, PodinfoSettings)
        objects = SampleObjects(name, place, sample, self)
        if cluster in sample.clusters:
            image = objects.image(NAME, PODINFO_IMAGE)
            objects.deployment("", NAME, [podinfo_container(cluster, image)], labels=_LABELS, user=100)
            ports = {"http": (_HTTP, "http"), "grpc": (_GRPC, "grpc")}
            accrual = FAILURE_ACCRUAL_ANNOTATION if any(each.cluster == cluster for each in wanted.failover) else None
            objects.service("service", NAME, ports, selector=_LABELS, annotations=accrual, offered=True)
        if cluster in wanted.frontend:
            create_nginx(objects, FRONTEND, _ASK_PODINFO)
        for split in wanted.splits:
            if split.cluster == cluster:
                split_requests(
                    objects,
                    place,
                    "split",
                    NAME,
                    form=split.form,
                    service=NAME,
                    port=_HTTP,
                    found=split_backends(NAME, _HTTP, split),
                    grpc_port=_GRPC,
                    version=split.smi_version,
                )
        for failover in wanted.failover:
            if failover.cluster == cluster:
                fail_over(objects, place, NAME, _HTTP, failover, _GRPC)
        if wanted.profile is not None:
            create_profile(objects, place, NAME, _HTTP, wanted.profile, ROUTES)
        if wanted.policy is not None:
            allow_access(
                objects, place, wanted.policy, "podinfo-http", selector=_LABELS, port="http", protocol="HTTP/1"
            )
            allow_access(objects, place, wanted.policy, "podinfo-grpc", selector=_LABELS, port="grpc", protocol="gRPC")
        self.register_outputs({})
