"""The multicluster extension on one cluster: what others need in order to link to it, and what it needs to link.

Follows https://linkerd.io/2.14/tasks/installing-multicluster/.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster import Cluster
from components.helm import release
from components.linkerd import NAMESPACE as LINKERD_NAMESPACE
from components.linkerd import Linkerd
from versions import LinkerdRelease

NAMESPACE = "linkerd-multicluster"
GATEWAY = "linkerd-gateway"


def multicluster_values(linkerd: LinkerdRelease) -> dict[str, Any]:
    """The values of the linkerd-multicluster chart."""
    return {
        "linkerdVersion": linkerd.tag,
        "linkerdNamespace": LINKERD_NAMESPACE,
        "identityTrustDomain": "cluster.local",
        "gateway": {"name": GATEWAY},
    }


class Multicluster(pulumi.ComponentResource):
    """The gateway, the Link CRD and the account that links use, on one cluster.

    Args:
        cluster: where it goes.
        linkerd: the control plane there.
        version: the release of Linkerd.
        charts: where its charts come from.
        target: whether other clusters link to this one, so that the gateway's address is needed.
        opts: the usual resource options.
    """

    namespace: pulumi.Output[str]
    extension: pulumi.Resource  # the release: what must be there before a Link or a credential
    gateway: kubernetes.core.v1.Service | None  # read from a target, once it has an address

    def __init__(
        self,
        cluster: Cluster,
        linkerd: Linkerd,
        version: LinkerdRelease,
        charts: str,
        *,
        target: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-multicluster"
        super().__init__("multicluster-mesh:index:Multicluster", name, None, opts)
        child = cluster.options(self)
        namespace = kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata=cluster.metadata(
                NAMESPACE,
                labels={"linkerd.io/extension": "multicluster", "pod-security.kubernetes.io/enforce": "privileged"},
            ),
            opts=child,
        )
        self.namespace = namespace.metadata.name
        self.extension = release(
            name,
            cluster=cluster,
            name="linkerd-multicluster",
            namespace=self.namespace,
            chart="linkerd-multicluster",
            version=version.multicluster,
            source=charts,
            values=multicluster_values(version),
            # Where there is no load balancer the gateway's Service never becomes ready, and nobody needs it to.
            wait=cluster.settings.gateway.load_balancer,
            # The gateway's pod must be injected, and the chart uses the policy CRDs: it names neither.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[linkerd.control_plane])),
        )
        self.gateway = None
        if target:
            self.gateway = kubernetes.core.v1.Service.get(
                f"{name}-gateway", pulumi.Output.concat(self.extension.status.namespace, f"/{GATEWAY}"), opts=child
            )
        self.register_outputs({"namespace": self.namespace})
