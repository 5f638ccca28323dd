"""The agent of Buoyant Cloud on one cluster: the manifest that an account gives for it.

Follows https://docs.buoyant.io/buoyant-cloud/getting-started/connecting-a-cluster/.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.cluster import Cluster


class BuoyantCloud(pulumi.ComponentResource):
    """The agent on one cluster, which nothing waits for: it needs an account on the internet.

    Args:
        cluster: where it goes.
        source: the manifest's URL, with the account's credentials in it, or the path of a file.
        before: what must be there before a pod.
        opts: the usual resource options.
    """

    def __init__(
        self,
        cluster: Cluster,
        source: str,
        before: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        # It takes its time to be imported, and few stacks have a manifest.
        from pulumi_kubernetes.yaml.v2 import ConfigFile

        name = f"{cluster.name}-buoyant-cloud"
        super().__init__("multicluster-mesh:index:BuoyantCloud", name, None, opts)
        ConfigFile(
            f"{name}-agent",
            file=pulumi.Output.secret(source),
            skip_await=True,
            opts=pulumi.ResourceOptions.merge(cluster.options(self), pulumi.ResourceOptions(depends_on=list(before))),
        )
        self.register_outputs({})
