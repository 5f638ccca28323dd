"""MetalLB, which assigns addresses to load balancers on clusters without a cloud provider.

Follows https://metallb.universe.tf/installation/#installation-with-helm and https://metallb.universe.tf/configuration/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.cluster import SKIP_AWAIT, Cluster
from components.helm.chart_component import ChartComponent
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret_references
from mesh import config

NAMESPACE = "metallb-system"
POOL_NAME = "multicluster-mesh"


def metallb_values(cluster: config.ClusterSettings, pull_secrets: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Return the values of the metallb chart.

    Args:
        cluster: settings of the cluster.
        pull_secrets: references to image pull secrets.
    """
    settings = cluster.extensions.metallb
    assert settings is not None
    values: dict[str, Any] = {
        # The webhook starts seconds after its pod is ready and would reject the pool until then. `mesh.config` has
        # already validated the pool.
        "crds": {"validationFailurePolicy": "Ignore"},
        # Addresses are announced by layer 2, so the BGP daemon is not needed.
        "speaker": {"frr": {"enabled": False}},
    }
    if pull_secrets:
        values["imagePullSecrets"] = pull_secrets
    return config.merge_values(values, settings.values)


class MetalLb(ChartComponent):
    """MetalLB on one cluster, with an address pool that it announces by layer 2.

    Args:
        cluster: cluster to install MetalLB on.
        charts: source of the chart.
        network: resources of the cluster's network plugin, if this stack installs it.
        opts: resource options.
    """

    advertisement: pulumi.Resource  # a dependency of each Service that needs an address

    def __init__(
        self,
        cluster: Cluster,
        charts: str,
        network: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        settings = cluster.settings.extensions.metallb
        assert settings is not None
        super().__init__(
            "multicluster-mesh:index:MetalLb",
            "metallb",
            cluster,
            NAMESPACE,
            # The speakers use the network of their nodes.
            labels={f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")},
            opts=opts,
        )
        self.install_chart(
            "metallb",
            settings.version,
            charts,
            metallb_values(cluster.settings, pull_secret_references(cluster)),
            # Hidden dependency: the pods need the network.
            depends_on=network,
        )
        name = f"{cluster.name}-metallb"
        pool = KubernetesObject(
            f"{name}-pool",
            api_version="metallb.io/v1beta1",
            kind="IPAddressPool",
            metadata=cluster.metadata(POOL_NAME, namespace=self.namespace, annotations=SKIP_AWAIT),
            spec={"addresses": list(settings.pool)},
            # Hidden dependency: the release installs the CRD.
            opts=pulumi.ResourceOptions.merge(self.child_options, pulumi.ResourceOptions(depends_on=[self.ready])),
        )
        self.advertisement = KubernetesObject(
            f"{name}-advertisement",
            api_version="metallb.io/v1beta1",
            kind="L2Advertisement",
            metadata=cluster.metadata(POOL_NAME, namespace=self.namespace, annotations=SKIP_AWAIT),
            spec={"ipAddressPools": [POOL_NAME]},
            # Hidden dependencies: the release installs the CRD, and the webhook requires the pool.
            opts=pulumi.ResourceOptions.merge(
                self.child_options, pulumi.ResourceOptions(depends_on=[self.ready, pool])
            ),
        )
        self.register_outputs({})
