"""Linkerd's multicluster extension: the gateway, the Link CRD, the links' account and controllers.

Follows https://linkerd.io/2.14/tasks/installing-multicluster/ and, for the value `controllers`,
https://linkerd.io/2/tasks/installing-multicluster/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.chart_component import ChartComponent
from components.linkerd.control_plane import Linkerd, extension_labels, tolerations
from components.linkerd.link_migration import migrate_managed_fields
from components.linkerd.mirror_cleanup import MirrorCleanup
from components.linkerd.service_mirror import controllers_values
from components.sdk.kubernetes_object import KubernetesObject, read_object
from components.sdk.secrets import pull_secret_references
from mesh import config
from mesh.config.models.links import LinkOptions
from mesh.config.models.stack_file import GatewayConfig
from mesh.gateway_spec import GATEWAY_SERVICE, MULTICLUSTER_NAMESPACE
from mesh.kube.constants import EXPOSURE_ANNOTATION
from mesh.topology import Link

# A link, the settings of its target cluster, and the link's options.
OutgoingLink = tuple[Link, config.ClusterSettings, LinkOptions]


def multicluster_values(
    cluster: config.ClusterSettings,
    pull_secrets: list[dict[str, str]] | None = None,
    links: Iterable[OutgoingLink] = (),
) -> dict[str, Any]:
    """Return the values of the linkerd-multicluster chart.

    Args:
        cluster: settings of the cluster.
        pull_secrets: references to image pull secrets.
        links: links that have the cluster as their source.
    """
    linkerd, exposure, linkerd_release = cluster.linkerd, cluster.gateway_exposure, cluster.linkerd_release
    load_balancer, node_port = cluster.gateway.load_balancer, cluster.gateway.node_port
    gateway: dict[str, Any] = {
        "enabled": exposure.service_type is not None,
        "name": GATEWAY_SERVICE,
        "serviceAnnotations": {**_exposure_annotation(cluster.gateway), **load_balancer.annotations},
        # Kubernetes rejects source ranges on other types of Services.
        "loadBalancerSourceRanges": load_balancer.source_ranges if exposure.service_type == "LoadBalancer" else [],
        "nodeSelector": linkerd.node_selector,
        "tolerations": tolerations(cluster),
    }
    if exposure.service_type is not None:
        gateway["serviceType"] = exposure.service_type
    if node_port is not None:
        gateway |= {"nodePort": node_port.port, "probe": {"nodePort": node_port.probe_port}}
    if linkerd.registry is not None:
        gateway["pauseImage"] = f"{linkerd.registry}/pause:3.2"
    if linkerd.high_availability:
        gateway["replicas"] = 3
    values: dict[str, Any] = {
        "linkerdVersion": linkerd_release.tag,
        "linkerdNamespace": linkerd.namespace,
        "identityTrustDomain": linkerd.trust_domain,
        "enablePodAntiAffinity": linkerd.high_availability,
        "gateway": gateway,
    }
    if linkerd_release.has_namespace_metadata_value:
        # The program writes the metadata itself when it creates the namespace.
        values["createNamespaceMetadataJob"] = False
    if linkerd_release.has_federated_services:
        values |= _local_mirror_values(cluster)
    if linkerd_release.has_link_controllers:
        values |= controllers_values(cluster, links)
    if pull_secrets:
        values["imagePullSecrets"] = pull_secrets
    return config.merge_values(values, cluster.values("linkerd-multicluster"))


def _local_mirror_values(cluster: config.ClusterSettings) -> dict[str, Any]:
    """Return the values of the controller that adds the cluster's own Services to federated services."""
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
    """Return the annotation if the stack file sets the exposure of the gateway."""
    if gateway.load_balancer.public:
        return {EXPOSURE_ANNOTATION: "public"}
    return {} if gateway.load_balancer.enabled else {EXPOSURE_ANNOTATION: "none"}


class Multicluster(ChartComponent):
    """The multicluster extension on one cluster.

    Args:
        cluster: cluster to install the extension on.
        linkerd: control plane of the cluster.
        charts: source of the charts.
        is_target: whether other clusters link to this one, so that links need the gateway's address.
        links: links that have the cluster as their source.
        depends_on: resources that give the gateway its address.
        opts: resource options.
    """

    release_namespace: pulumi.Output[str]  # unknown in a preview that updates the release or repairs its objects
    gateway: KubernetesObject | None  # the gateway's Service; read only if its status contains the gateway's address

    def __init__(
        self,
        cluster: Cluster,
        linkerd: Linkerd,
        charts: str,
        *,
        is_target: bool,
        links: Sequence[OutgoingLink] = (),
        depends_on: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        settings, name = cluster.settings, f"{cluster.name}-multicluster"
        super().__init__(
            "multicluster-mesh:index:Multicluster",
            "multicluster",
            cluster,
            MULTICLUSTER_NAMESPACE,
            labels=extension_labels("multicluster"),
            opts=opts,
        )
        cleanup: list[pulumi.Resource] = []
        if settings.linkerd_release.has_federated_services:
            cleanup.append(
                MirrorCleanup(
                    f"{name}-members",
                    cluster=cluster,
                    namespace=self.namespace,
                    target="",
                    opts=pulumi.ResourceOptions(parent=self),
                )
            )
        installed = self.install_chart(
            "linkerd-multicluster",
            settings.linkerd_release.multicluster,
            charts,
            multicluster_values(settings, pull_secret_references(cluster), links),
            awaits_address=settings.gateway_exposure.is_address_awaited,
            # A new cluster has no Links, and its API server is busy with the storage of the new CRD for a second.
            on_installed=lambda namespace: migrate_managed_fields(
                cluster.access, namespace, settings.linkerd_release.link_api
            ),
            # Hidden dependencies: the proxy injector and the policy CRDs; the gateway's address; the cleanup of
            # federated services, which must run after the controllers are deleted.
            depends_on=[linkerd.control_plane, *depends_on, *cleanup],
        )
        self.release_namespace = pulumi.Output.all(installed.release.status.namespace, installed.ready.drift).apply(
            lambda outputs: outputs[0]
        )
        self.gateway = None
        if is_target and settings.gateway_exposure.is_address_awaited:
            # The path is an output of the release, because a preview cannot read a Service that `up` will re-create.
            path = self.release_namespace.apply(lambda namespace: f"{namespace}/{GATEWAY_SERVICE}")
            self.gateway = read_object(f"{name}-gateway", "v1", "Service", path, self.child_options)
        self.register_outputs({"namespace": self.namespace})
