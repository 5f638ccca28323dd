"""Linkerd's CNI plugin on one cluster: it sets up the traffic of meshed pods, in place of an init container in each.

Follows https://linkerd.io/2.14/features/cni/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import helm_release
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret, pull_secrets
from mesh import config

NAMESPACE = "linkerd-cni"


def cni_values(cluster: config.ClusterSettings, pull: list[dict[str, str]]) -> dict[str, Any]:
    """The values of the linkerd2-cni chart.

    Args:
        cluster: where it goes.
        pull: references to credentials for images.
    """
    values: dict[str, Any] = {}
    if cluster.linkerd.registry is not None:
        values["image"] = {"name": f"{cluster.linkerd.registry}/cni-plugin"}
    if pull:
        values["imagePullSecrets"] = pull
    return config.merge_values(values, cluster.values("linkerd2-cni"))


class Cni(pulumi.ComponentResource):
    """The CNI plugin's DaemonSet on one cluster.

    Args:
        cluster: where it goes.
        charts: where its chart comes from.
        before: what must be there before it: the plugin that it goes after.
        opts: the usual resource options.
    """

    plugin: pulumi.Resource  # what must be there before a pod is meshed

    def __init__(
        self,
        cluster: Cluster,
        charts: str,
        before: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-cni"
        super().__init__("multicluster-mesh:index:Cni", name, None, opts)
        child = cluster.options(self)
        namespace = KubernetesObject(
            f"{name}-namespace",
            "v1",
            "Namespace",
            metadata=cluster.namespace_metadata(
                NAMESPACE,
                labels={
                    "linkerd.io/cni-resource": "true",
                    "config.linkerd.io/admission-webhooks": "disabled",
                    # The plugin writes into the nodes' folders, which only a privileged namespace allows.
                    "pod-security.kubernetes.io/enforce": "privileged",
                },
                annotations={"linkerd.io/inject": "disabled"},
            ),
            opts=child,
        )
        credentials = pull_secret(f"{name}-pull-secret", cluster, namespace.name, child)
        self.plugin = helm_release(
            name,
            cluster=cluster,
            name="linkerd2-cni",
            namespace=namespace.name,
            chart="linkerd2-cni",
            version=cluster.settings.release.cni,
            source=charts,
            values=cni_values(cluster.settings, pull_secrets(cluster)),
            # Its pods pull their image by these credentials, which the chart only names.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[*before, *credentials])),
        ).drift_repair
        self.register_outputs({})
