"""Linkerd's jaeger extension: distributed tracing.

Follows https://linkerd.io/2.14/tasks/distributed-tracing/.
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.chart_component import ChartComponent
from components.linkerd.control_plane import Linkerd, extension_labels, scheduling_values
from components.linkerd.pki import Trust
from components.linkerd.webhook_certificates import create_webhook_certificates, external_secret_values
from components.sdk.secrets import pull_secret_references
from mesh import config

NAMESPACE = "linkerd-jaeger"
_SERVICES = ("jaeger-injector",)


def jaeger_values(
    cluster: config.ClusterSettings,
    *,
    webhook_authority: pulumi.Input[str],
    pull_secrets: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """Return the values of the linkerd-jaeger chart.

    Args:
        cluster: settings of the cluster.
        webhook_authority: PEM of the CA with which the API server verifies the injector.
        pull_secrets: references to image pull secrets.
    """
    linkerd = cluster.linkerd
    scheduling = scheduling_values(cluster)
    values: dict[str, Any] = {
        "linkerdVersion": cluster.linkerd_release.tag,
        "linkerdNamespace": linkerd.namespace,
        "clusterDomain": linkerd.cluster_domain,
        "collector": scheduling,
        "jaeger": scheduling,
        "webhook": {**scheduling, **external_secret_values(webhook_authority)},
    }
    # The chart's default tag is right only for Linkerd's own CLI, which overrides it.
    values["webhook"]["image"] = {"version": cluster.linkerd_release.tag}
    if cluster.linkerd_release.has_namespace_metadata_value:
        values["createNamespaceMetadataJob"] = False
    if linkerd.registry is not None:
        values["webhook"]["image"]["name"] = f"{linkerd.registry}/jaeger-webhook"
    if pull_secrets:
        values["imagePullSecrets"] = pull_secrets
    return config.merge_values(values, cluster.values("linkerd-jaeger"))


class Jaeger(ChartComponent):
    """The jaeger extension on one cluster.

    Args:
        cluster: cluster to install the extension on.
        linkerd: control plane of the cluster.
        trust: authorities of the mesh; one signs the injector's certificate.
        charts: source of the chart.
        opts: resource options.
    """

    webhook_expiry: pulumi.Output[str]  # RFC 3339

    def __init__(
        self,
        cluster: Cluster,
        linkerd: Linkerd,
        trust: Trust,
        charts: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            "multicluster-mesh:index:Jaeger", "jaeger", cluster, NAMESPACE, labels=extension_labels("jaeger"), opts=opts
        )
        certificates = create_webhook_certificates(
            cluster,
            "jaeger",
            self.namespace,
            _SERVICES,
            namespace_name=NAMESPACE,
            trust=trust,
            opts=self.secret_options,
        )
        self.webhook_expiry = certificates.expiry
        self.install_chart(
            "linkerd-jaeger",
            cluster.settings.linkerd_release.jaeger,
            charts,
            jaeger_values(
                cluster.settings,
                webhook_authority=trust.webhooks.certificate,
                pull_secrets=pull_secret_references(cluster),
            ),
            # Hidden dependencies: the proxy injector and the policy CRDs, and the Secret that the pods mount.
            depends_on=[linkerd.control_plane, *certificates.secrets],
        )
        self.register_outputs({})
