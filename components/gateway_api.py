"""The CRDs of the Gateway API on one cluster, as its project publishes them in one manifest.

Follows https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api.
"""

from __future__ import annotations

import pulumi

from components.cluster import Cluster
from settings.extension_parts import GatewayApi as GatewayApiSettings


class GatewayApi(pulumi.ComponentResource):
    """The CRDs on one cluster.

    Args:
        cluster: where they go.
        wanted: their settings.
        opts: the usual resource options.
    """

    crds: pulumi.Resource  # what must be there before who looks for them

    def __init__(
        self, cluster: Cluster, wanted: GatewayApiSettings, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # It takes its time to be imported, and few stacks have a manifest.
        from pulumi_kubernetes.yaml.v2 import ConfigFile

        name = f"{cluster.name}-gateway-api"
        super().__init__("multicluster-mesh:index:GatewayApi", name, None, opts)
        self.crds = ConfigFile(f"{name}-crds", file=wanted.manifest, opts=cluster.options(self))
        self.register_outputs({})
