"""Podinfo: a small web service, the same on each cluster, to see which one answers.

Follows https://github.com/stefanprodan/podinfo (ports, probes, user) and https://linkerd.io/2.14/tasks/multicluster/
(namespace `test`, exported by a label).
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

import settings
from components.cluster import NOT_AWAITED, Cluster
from components.linkerd import Linkerd
from components.secrets import pull_secret, pull_secrets
from versions import PODINFO_IMAGE

NAME = "podinfo"
_LABELS = {"app": NAME}
_HTTP, _GRPC = 9898, 9999


def pod_spec(cluster: str, pull: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The pod: its greeting says which cluster it runs on.

    Args:
        cluster: the cluster's name.
        pull: references to credentials for images, that of the proxy among them.
    """
    credentials = {"imagePullSecrets": pull} if pull else {}
    return {
        **credentials,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 100, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": NAME,
                "image": PODINFO_IMAGE,
                "command": ["./podinfo", f"--port={_HTTP}", f"--grpc-port={_GRPC}"],
                "env": [{"name": "PODINFO_UI_MESSAGE", "value": f"greetings from {cluster}"}],
                "ports": [{"name": "http", "containerPort": _HTTP}, {"name": "grpc", "containerPort": _GRPC}],
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }


class Podinfo(pulumi.ComponentResource):
    """Podinfo on one cluster: a meshed namespace, a Deployment, and a Service that may be exported.

    Args:
        cluster: where it goes.
        sample: its settings.
        linkerd: the control plane there.
        opts: the usual resource options.
    """

    def __init__(
        self, cluster: Cluster, sample: settings.Sample, linkerd: Linkerd, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        name = f"{cluster.name}-{sample.namespace}-podinfo"
        super().__init__("multicluster-mesh:index:Podinfo", name, None, opts)
        child = cluster.options(self)
        namespace = kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata=cluster.metadata(sample.namespace, annotations={"linkerd.io/inject": "enabled"}),
            opts=child,
        )
        credentials = pull_secret(f"{name}-pull-secret", cluster, namespace.metadata.name, child)
        kubernetes.apps.v1.Deployment(
            name,
            metadata=cluster.metadata(NAME, namespace=namespace.metadata.name, labels=_LABELS, annotations=NOT_AWAITED),
            spec={
                "replicas": 1,
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": pod_spec(cluster.name, pull_secrets(cluster))},
            },
            # A pod that starts before the injector is ready would stay outside the mesh without a word.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(depends_on=[linkerd.control_plane, *credentials])
            ),
        )
        exported = {"mirror.linkerd.io/exported": "true"} if cluster.name in sample.exported else {}
        kubernetes.core.v1.Service(
            f"{name}-service",
            metadata=cluster.metadata(
                NAME, namespace=namespace.metadata.name, labels={**_LABELS, **exported}, annotations=NOT_AWAITED
            ),
            spec={
                "selector": _LABELS,
                "ports": [
                    {"name": "http", "port": _HTTP, "targetPort": "http"},
                    {"name": "grpc", "port": _GRPC, "targetPort": "grpc"},
                ],
            },
            opts=child,
        )
        self.register_outputs({})
