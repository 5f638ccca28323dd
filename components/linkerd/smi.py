"""Linkerd's smi extension on one cluster: it makes ServiceProfiles of TrafficSplits.

Follows https://linkerd.io/2.14/tasks/linkerd-smi/ and the chart in github.com/linkerd/linkerd-smi.
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import helm_release
from components.linkerd.control_plane import Linkerd, tolerations
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret, pull_secrets
from mesh import config

NAMESPACE = "linkerd-smi"


def smi_values(cluster: config.ClusterSettings, pull: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The values of the linkerd-smi chart; 1.0.1 knows the first two of them, and its successors all.

    Args:
        cluster: where it goes.
        pull: references to credentials for images.
    """
    linkerd = cluster.linkerd
    adaptor: dict[str, Any] = {
        "nodeSelector": {"kubernetes.io/os": "linux", **linkerd.node_selector},
        "tolerations": tolerations(cluster),
    }
    if linkerd.registry is not None:
        adaptor["image"] = {"registry": linkerd.registry}
    values: dict[str, Any] = {
        "clusterDomain": linkerd.cluster_domain,
        "adaptor": adaptor,
        "linkerdNamespace": linkerd.namespace,
    }
    if pull:
        values["imagePullSecrets"] = pull
    return config.merge_values(values, cluster.values("linkerd-smi"))


class Smi(pulumi.ComponentResource):
    """The smi extension on one cluster, with the CRD of TrafficSplits.

    Args:
        cluster: where it goes.
        linkerd: the control plane there.
        charts: where its chart comes from.
        opts: the usual resource options.
    """

    extension: pulumi.Resource  # the release: what must be there before a TrafficSplit

    def __init__(
        self, cluster: Cluster, linkerd: Linkerd, charts: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        name = f"{cluster.name}-smi"
        super().__init__("multicluster-mesh:index:Smi", name, None, opts)
        child = cluster.options(self)
        wanted = cluster.settings.extensions.smi
        assert wanted is not None
        namespace = KubernetesObject(
            f"{name}-namespace",
            "v1",
            "Namespace",
            metadata=cluster.namespace_metadata(
                NAMESPACE,
                labels={"linkerd.io/extension": "smi", "pod-security.kubernetes.io/enforce": "privileged"},
            ),
            opts=child,
        )
        credentials = pull_secret(f"{name}-pull-secret", cluster, namespace.name, child)
        self.extension = helm_release(
            name,
            cluster=cluster,
            name="linkerd-smi",
            namespace=namespace.name,
            chart="linkerd-smi",
            version=wanted.version,
            source=charts,
            values=smi_values(cluster.settings, pull_secrets(cluster)),
            # Its pod must be injected, and it writes ServiceProfiles.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(depends_on=[linkerd.control_plane, *credentials])
            ),
        ).drift_repair
        self.register_outputs({})
