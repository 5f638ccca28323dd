"""Linkerd's CNI plugin, which replaces the init container in each meshed pod.

Follows https://linkerd.io/2.14/features/cni/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.chart_component import ChartComponent
from components.sdk.secrets import pull_secret_references
from mesh import config

NAMESPACE = "linkerd-cni"


def cni_values(cluster: config.ClusterSettings, pull_secrets: list[dict[str, str]]) -> dict[str, Any]:
    """Return the values of the linkerd2-cni chart.

    Args:
        cluster: settings of the cluster.
        pull_secrets: references to image pull secrets.
    """
    values: dict[str, Any] = {}
    if cluster.linkerd.registry is not None:
        values["image"] = {"name": f"{cluster.linkerd.registry}/cni-plugin"}
    if pull_secrets:
        values["imagePullSecrets"] = pull_secrets
    return config.merge_values(values, cluster.values("linkerd2-cni"))


class Cni(ChartComponent):
    """The CNI plugin's DaemonSet on one cluster.

    Args:
        cluster: cluster to install the plugin on.
        charts: source of the chart.
        depends_on: resources of the network plugin that Linkerd's plugin is chained to.
        opts: resource options.
    """

    def __init__(
        self,
        cluster: Cluster,
        charts: str,
        depends_on: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "multicluster-mesh:index:Cni",
            "cni",
            cluster,
            NAMESPACE,
            labels={
                "linkerd.io/cni-resource": "true",
                "config.linkerd.io/admission-webhooks": "disabled",
                # Only a privileged namespace allows the plugin to write to folders of the nodes.
                "pod-security.kubernetes.io/enforce": "privileged",
            },
            annotations={"linkerd.io/inject": "disabled"},
            opts=opts,
        )
        self.install_chart(
            "linkerd2-cni",
            cluster.settings.linkerd_release.cni,
            charts,
            cni_values(cluster.settings, pull_secret_references(cluster)),
            # Hidden dependency: the plugin appends itself to the configuration of the cluster's network plugin.
            depends_on=depends_on,
        )
        self.register_outputs({})
