"""Linkerd's viz extension: metrics, tap and the dashboard.

Follows https://linkerd.io/2.14/features/dashboard/ and the chart's own values-ha.yaml.
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

NAMESPACE = "linkerd-viz"
_SERVICES = ("tap", "tap-injector")


def viz_values(
    cluster: config.ClusterSettings,
    *,
    webhook_authority: pulumi.Input[str],
    pull_secrets: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """Return the values of the linkerd-viz chart.

    Args:
        cluster: settings of the cluster.
        webhook_authority: PEM of the CA with which the API server verifies tap and its injector.
        pull_secrets: references to image pull secrets.
    """
    linkerd, settings = cluster.linkerd, cluster.extensions.viz
    assert settings is not None
    scheduling = scheduling_values(cluster)
    values: dict[str, Any] = {
        "linkerdVersion": cluster.linkerd_release.tag,
        "linkerdNamespace": linkerd.namespace,
        "clusterDomain": linkerd.cluster_domain,
        "identityTrustDomain": linkerd.trust_domain,
        "tap": external_secret_values(webhook_authority),
        "tapInjector": external_secret_values(webhook_authority),
        **scheduling,
        # The chart copies its default to these two with a YAML anchor, so they do not inherit the values above.
        "metricsAPI": scheduling,
        "prometheus": scheduling,
    }
    if cluster.linkerd_release.has_namespace_metadata_value:
        values["createNamespaceMetadataJob"] = False
    if linkerd.registry is not None:
        values["defaultRegistry"] = linkerd.registry
    if pull_secrets:
        values["imagePullSecrets"] = pull_secrets
    if settings.prometheus_url is not None:
        values |= {"prometheusUrl": settings.prometheus_url, "prometheus": {"enabled": False}}
    if linkerd.high_availability:
        values = config.merge_values(values, _high_availability_values())
    return config.merge_values(values, cluster.values("linkerd-viz"))


def _high_availability_values() -> dict[str, Any]:
    cpu = {"limit": "", "request": "100m"}
    resources = {"cpu": cpu, "memory": {"limit": "250Mi", "request": "50Mi"}}
    large = {"cpu": {"limit": "", "request": "300m"}, "memory": {"limit": "8192Mi", "request": "300Mi"}}
    return {
        "enablePodAntiAffinity": True,
        "tap": {"replicas": 3, "resources": resources},
        "dashboard": {"resources": resources},
        "prometheus": {"resources": large},
    }


class Viz(ChartComponent):
    """The viz extension on one cluster.

    Args:
        cluster: cluster to install the extension on.
        linkerd: control plane of the cluster.
        trust: authorities of the mesh; one signs the certificates of tap and its injector.
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
        settings = cluster.settings.extensions.viz
        assert settings is not None
        external = {"viz.linkerd.io/external-prometheus": settings.prometheus_url} if settings.prometheus_url else {}
        super().__init__(
            "multicluster-mesh:index:Viz",
            "viz",
            cluster,
            NAMESPACE,
            labels=extension_labels("viz"),
            annotations=external,
            opts=opts,
        )
        certificates = create_webhook_certificates(
            cluster, "viz", self.namespace, _SERVICES, namespace_name=NAMESPACE, trust=trust, opts=self.secret_options
        )
        self.webhook_expiry = certificates.expiry
        self.install_chart(
            "linkerd-viz",
            cluster.settings.linkerd_release.viz,
            charts,
            viz_values(
                cluster.settings,
                webhook_authority=trust.webhooks.certificate,
                pull_secrets=pull_secret_references(cluster),
            ),
            # Hidden dependencies: the proxy injector and the policy CRDs, and the Secrets that the pods mount.
            depends_on=[linkerd.control_plane, *certificates.secrets],
        )
        self.register_outputs({"namespace": self.namespace})
