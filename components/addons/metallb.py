"""MetalLB on one cluster: what gives its gateway an address where no cloud does.

Follows https://metallb.universe.tf/installation/#installation-with-helm and https://metallb.universe.tf/configuration/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.cluster import SKIP_AWAIT, Cluster
from components.helm.release import helm_release
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret, pull_secrets
from mesh import config

NAMESPACE = "metallb-system"
POOL = "multicluster-mesh"


def metallb_values(cluster: config.ClusterSettings, pull: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The values of the metallb chart.

    Args:
        cluster: where it goes.
        pull: references to credentials for images.
    """
    wanted = cluster.extensions.metallb
    assert wanted is not None
    values: dict[str, Any] = {
        # Its webhook is there some seconds after its pod is ready, and would refuse the pool until then. What it looks
        # for in a pool, the settings have looked for already.
        "crds": {"validationFailurePolicy": "Ignore"},
        # Addresses are announced in the clusters' own network; what speaks BGP has nothing to do.
        "speaker": {"frr": {"enabled": False}},
    }
    if pull:
        values["imagePullSecrets"] = pull
    return config.merge_values(values, wanted.values)


class MetalLb(pulumi.ComponentResource):
    """MetalLB on one cluster, with a pool of addresses that it announces by layer 2.

    Args:
        cluster: where it goes.
        charts: where its chart comes from.
        before: what must be there before a pod.
        opts: the usual resource options.
    """

    ready: pulumi.Resource  # what must be there before a Service gets an address

    def __init__(
        self,
        cluster: Cluster,
        charts: str,
        before: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-metallb"
        super().__init__("multicluster-mesh:index:MetalLb", name, None, opts)
        child = cluster.options(self)
        wanted = cluster.settings.extensions.metallb
        assert wanted is not None
        namespace = KubernetesObject(
            f"{name}-namespace",
            "v1",
            "Namespace",
            metadata=cluster.namespace_metadata(
                NAMESPACE,
                # The speakers answer for addresses in the nodes' own network.
                labels={f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")},
            ),
            opts=child,
        )
        there = namespace.name
        credentials = pull_secret(f"{name}-pull-secret", cluster, there, child)
        installed = helm_release(
            name,
            cluster=cluster,
            name="metallb",
            namespace=there,
            chart="metallb",
            version=wanted.version,
            source=charts,
            values=metallb_values(cluster.settings, pull_secrets(cluster)),
            # Its pods pull their images by these credentials, which the chart only names.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[*before, *credentials])),
        ).drift_repair
        # The kinds of both come with the release.
        pool = KubernetesObject(
            f"{name}-pool",
            api_version="metallb.io/v1beta1",
            kind="IPAddressPool",
            metadata=cluster.metadata(POOL, namespace=there, annotations=SKIP_AWAIT),
            spec={"addresses": list(wanted.pool)},
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[installed])),
        )
        self.ready = KubernetesObject(
            f"{name}-advertisement",
            api_version="metallb.io/v1beta1",
            kind="L2Advertisement",
            metadata=cluster.metadata(POOL, namespace=there, annotations=SKIP_AWAIT),
            spec={"ipAddressPools": [POOL]},
            # It names the pool, which its webhook looks for.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[installed, pool])),
        )
        self.register_outputs({})
