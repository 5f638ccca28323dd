"""The multicluster extension on one cluster: what others need in order to link to it, and what it needs to link.

Follows https://linkerd.io/2.14/tasks/installing-multicluster/ and, for `controllers`,
https://linkerd.io/2/tasks/installing-multicluster/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import helm_release
from components.linkerd.control_plane import Linkerd, tolerations
from components.linkerd.gateway_spec import GATEWAY_SERVICE, MULTICLUSTER_NAMESPACE
from components.linkerd.link_migration import migrate_managed_fields
from components.linkerd.mirror_cleanup import MirrorCleanup
from components.linkerd.service_mirror import controllers_values
from components.sdk.kubernetes_object import KubernetesObject, read_object
from components.sdk.secrets import pull_secret, pull_secrets
from mesh import config
from mesh.config.models.links import LinkOptions
from mesh.config.models.stack_file import GatewayConfig
from mesh.topology import Link

# A link of which the cluster is the source, with its target and what the stack file says of it.
OutgoingLink = tuple[Link, config.ClusterSettings, LinkOptions]
# The annotation by which its Service says who is meant to come in, for readers and policies: `public`, or `none`.
EXPOSURE_ANNOTATION = "multicluster-mesh/exposure"


def multicluster_values(
    cluster: config.ClusterSettings, pull: list[dict[str, str]] | None = None, links: Iterable[OutgoingLink] = ()
) -> dict[str, Any]:
    """The values of the linkerd-multicluster chart.

    Args:
        cluster: where it goes.
        pull: references to credentials for images.
        links: those that the cluster is the source of.
    """
    linkerd, wanted, chart = cluster.linkerd, cluster.gateway, cluster.release
    gateway: dict[str, Any] = {
        "enabled": wanted.enabled,
        "name": GATEWAY_SERVICE,
        "serviceType": "NodePort" if wanted.node_port else "LoadBalancer",
        "serviceAnnotations": {**_exposure_annotation(wanted), **wanted.load_balancer.annotations},
        "loadBalancerSourceRanges": wanted.load_balancer.source_ranges,
        "nodeSelector": linkerd.node_selector,
        "tolerations": tolerations(cluster),
    }
    if wanted.node_port is not None:
        gateway |= {"nodePort": wanted.node_port.port, "probe": {"nodePort": wanted.node_port.probe_port}}
    if linkerd.registry is not None:
        gateway["pauseImage"] = f"{linkerd.registry}/pause:3.2"
    if linkerd.high_availability:
        gateway["replicas"] = 3
    values: dict[str, Any] = {
        "linkerdVersion": chart.tag,
        "linkerdNamespace": linkerd.namespace,
        "identityTrustDomain": linkerd.trust_domain,
        "enablePodAntiAffinity": linkerd.high_availability,
        "gateway": gateway,
    }
    if chart.namespace_metadata_value:
        # What the Job would write is there from the beginning.
        values["createNamespaceMetadataJob"] = False
    if chart.federation:
        values |= _local_mirror(cluster)
    if chart.link_controllers:
        values |= controllers_values(cluster, links)
    if pull:
        values["imagePullSecrets"] = pull
    return config.merge_values(values, cluster.values("linkerd-multicluster"))


def _local_mirror(cluster: config.ClusterSettings) -> dict[str, Any]:
    """The controller that writes the cluster's own members into federated services."""
    linkerd = cluster.linkerd
    mirror: dict[str, Any] = {}
    if linkerd.registry is not None:
        mirror["image"] = {"name": f"{linkerd.registry}/controller"}
    if linkerd.high_availability:
        mirror["replicas"] = 3
    values: dict[str, Any] = {"localServiceMirror": mirror} if mirror else {}
    if linkerd.node_selector:
        values["nodeSelector"] = linkerd.node_selector
    if linkerd.tolerations:
        values["tolerations"] = tolerations(cluster)
    return values


def _exposure_annotation(gateway: GatewayConfig) -> dict[str, str]:
    """What the stack file says on purpose of who may come in through a load balancer."""
    if gateway.load_balancer.public:
        return {EXPOSURE_ANNOTATION: "public"}
    return {} if gateway.load_balancer.enabled else {EXPOSURE_ANNOTATION: "none"}


class Multicluster(pulumi.ComponentResource):
    """The gateway, the Link CRD and the account that links use, on one cluster.

    Args:
        cluster: where it goes.
        linkerd: the control plane there.
        charts: where its charts come from.
        target: whether other clusters link to this one, so that the gateway's address is needed.
        links: those that it is the source of.
        before: what gives the gateway its address.
        opts: the usual resource options.
    """

    namespace: pulumi.Output[str]
    extension: pulumi.Resource  # what must be there before a Link or a credential
    installed: pulumi.Output[str]  # the namespace of its release; unknown to a preview that changes or mends it
    gateway: KubernetesObject | None  # read where only its status says the gateway's address

    def __init__(
        self,
        cluster: Cluster,
        linkerd: Linkerd,
        charts: str,
        *,
        target: bool,
        links: Sequence[OutgoingLink] = (),
        before: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-multicluster"
        super().__init__("multicluster-mesh:index:Multicluster", name, None, opts)
        child = cluster.options(self)
        namespace = KubernetesObject(
            f"{name}-namespace",
            "v1",
            "Namespace",
            metadata=cluster.namespace_metadata(
                MULTICLUSTER_NAMESPACE,
                labels={"linkerd.io/extension": "multicluster", "pod-security.kubernetes.io/enforce": "privileged"},
            ),
            opts=child,
        )
        self.namespace = namespace.name
        credentials = pull_secret(f"{name}-pull-secret", cluster, self.namespace, child)
        wanted = cluster.settings
        # They outlive the controller that makes them.
        own_members: list[pulumi.Resource] = []
        if wanted.release.federation:
            own_members.append(
                MirrorCleanup(
                    f"{name}-members",
                    cluster=cluster,
                    namespace=self.namespace,
                    target="",
                    opts=pulumi.ResourceOptions(parent=self),
                )
            )
        made = helm_release(
            name,
            cluster=cluster,
            name="linkerd-multicluster",
            namespace=self.namespace,
            chart="linkerd-multicluster",
            version=wanted.release.multicluster,
            source=charts,
            values=multicluster_values(wanted, pull_secrets(cluster), links),
            # A Service without a load balancer never becomes ready, and nobody needs it to.
            wait=wanted.gateway_service_becomes_ready,
            after=lambda there: migrate_managed_fields(cluster.access, there, wanted.release.link_api),
            # The gateway's pod must be injected and pull its images, and the chart uses the policy CRDs: it names none.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(depends_on=[linkerd.control_plane, *before, *credentials, *own_members])
            ),
        )
        self.extension = made.drift_repair
        self.installed = pulumi.Output.all(made.release.status.namespace, made.drift_repair.drift).apply(
            lambda known: known[0]
        )
        self.gateway = None
        if target and wanted.waits_for_gateway_address:
            # Where the Service is about to be mended, a preview can't read it yet.
            path = self.installed.apply(lambda there: f"{there}/{GATEWAY_SERVICE}")
            self.gateway = read_object(f"{name}-gateway", "v1", "Service", path, child)
        self.register_outputs({"namespace": self.namespace})
