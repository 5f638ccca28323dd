"""Agent of Buoyant Cloud, from the manifest that a Buoyant account provides.

Follows https://docs.buoyant.io/buoyant-cloud/getting-started/connecting-a-cluster/.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.cluster import Cluster
from components.identity_transformation import manifest_transform


class BuoyantCloud(pulumi.ComponentResource):
    """The agent on one cluster. Pulumi does not wait until it is ready, because that requires the internet.

    Args:
        cluster: cluster to install the agent on.
        source: URL of the manifest, which contains the account's credentials, or path of a file.
        pod_dependencies: resources that must exist before a pod.
        opts: resource options.
    """

    def __init__(
        self,
        cluster: Cluster,
        source: str,
        pod_dependencies: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        # The import is slow, and few stacks need it.
        from pulumi_kubernetes.yaml.v2 import ConfigFile

        name = f"{cluster.name}-buoyant-cloud"
        super().__init__("multicluster-mesh:index:BuoyantCloud", name, None, opts)
        ConfigFile(
            f"{name}-agent",
            file=pulumi.Output.secret(source),
            skip_await=True,
            # Hidden dependencies: the network and the proxy injector.
            opts=pulumi.ResourceOptions.merge(
                cluster.options(self),
                pulumi.ResourceOptions(depends_on=list(pod_dependencies), transforms=[manifest_transform(cluster)]),
            ),
        )
        self.register_outputs({})
