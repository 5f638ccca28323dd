"""Linkerd's smi extension, which converts TrafficSplits to ServiceProfiles.

Follows https://linkerd.io/2.14/tasks/linkerd-smi/ and the chart in github.com/linkerd/linkerd-smi.
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.chart_component import ChartComponent
from components.linkerd.control_plane import Linkerd, extension_labels, scheduling_values
from components.sdk.secrets import pull_secret_references
from mesh import config

NAMESPACE = "linkerd-smi"


def smi_values(cluster: config.ClusterSettings, pull_secrets: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Return the values of the linkerd-smi chart.

    Chart 1.0.1 has only `clusterDomain` and `adaptor`. Later charts have all of these values.

    Args:
        cluster: settings of the cluster.
        pull_secrets: references to image pull secrets.
    """
    linkerd = cluster.linkerd
    adaptor: dict[str, Any] = scheduling_values(cluster)
    if linkerd.registry is not None:
        adaptor["image"] = {"registry": linkerd.registry}
    values: dict[str, Any] = {
        "clusterDomain": linkerd.cluster_domain,
        "adaptor": adaptor,
        "linkerdNamespace": linkerd.namespace,
    }
    if pull_secrets:
        values["imagePullSecrets"] = pull_secrets
    return config.merge_values(values, cluster.values("linkerd-smi"))


class Smi(ChartComponent):
    """The smi extension on one cluster, with the CRD of TrafficSplits.

    Args:
        cluster: cluster to install the extension on.
        linkerd: control plane of the cluster.
        charts: source of the chart.
        opts: resource options.
    """

    def __init__(
        self, cluster: Cluster, linkerd: Linkerd, charts: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        settings = cluster.settings.extensions.smi
        assert settings is not None
        super().__init__(
            "multicluster-mesh:index:Smi", "smi", cluster, NAMESPACE, labels=extension_labels("smi"), opts=opts
        )
        self.install_chart(
            "linkerd-smi",
            settings.version,
            charts,
            smi_values(cluster.settings, pull_secret_references(cluster)),
            # Hidden dependency: the control plane, with the proxy injector and the ServiceProfile CRD.
            depends_on=[linkerd.control_plane],
        )
        self.register_outputs({})
