"""Linkerd's viz extension on one cluster: metrics, tap and the dashboard.

Follows https://linkerd.io/2.14/features/dashboard/ and the chart's own values-ha.yaml.
"""

from __future__ import annotations

from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import helm_release
from components.linkerd.control_plane import Linkerd, tolerations
from components.linkerd.pki import Trust
from components.linkerd.webhook_certificates import external_secret_values, webhook_certificates
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret, pull_secrets
from mesh import config

NAMESPACE = "linkerd-viz"
_SERVICES = ("tap", "tap-injector")


def viz_values(
    cluster: config.ClusterSettings, *, webhook_authority: pulumi.Input[str], pull: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """The values of the linkerd-viz chart.

    Args:
        cluster: where it goes.
        webhook_authority: PEM of what the API server trusts when it calls tap and its injector.
        pull: references to credentials for images.
    """
    linkerd, wanted = cluster.linkerd, cluster.extensions.viz
    assert wanted is not None
    nodes = {
        "nodeSelector": {"kubernetes.io/os": "linux", **linkerd.node_selector},
        "tolerations": tolerations(cluster),
    }
    values: dict[str, Any] = {
        "linkerdVersion": cluster.release.tag,
        "linkerdNamespace": linkerd.namespace,
        "clusterDomain": linkerd.cluster_domain,
        "identityTrustDomain": linkerd.trust_domain,
        "tap": external_secret_values(webhook_authority),
        "tapInjector": external_secret_values(webhook_authority),
        # The chart takes these from above only where nobody says otherwise there.
        **nodes,
        "metricsAPI": nodes,
        "prometheus": nodes,
    }
    if cluster.release.namespace_metadata_value:
        values["createNamespaceMetadataJob"] = False
    if linkerd.registry is not None:
        values["defaultRegistry"] = linkerd.registry
    if pull:
        values["imagePullSecrets"] = pull
    if wanted.prometheus_url is not None:
        values |= {"prometheusUrl": wanted.prometheus_url, "prometheus": {"enabled": False}}
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


class Viz(pulumi.ComponentResource):
    """The viz extension on one cluster.

    Args:
        cluster: where it goes.
        linkerd: the control plane there.
        trust: who signs the certificates of tap and its injector.
        charts: where its chart comes from.
        opts: the usual resource options.
    """

    namespace: pulumi.Output[str]
    extension: pulumi.Resource  # the release: what must be there before a pod that can be tapped
    webhooks_expire: pulumi.Output[str]

    def __init__(
        self,
        cluster: Cluster,
        linkerd: Linkerd,
        trust: Trust,
        charts: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-viz"
        super().__init__("multicluster-mesh:index:Viz", name, None, opts)
        child = cluster.options(self)
        wanted = cluster.settings.extensions.viz
        assert wanted is not None
        external = {"viz.linkerd.io/external-prometheus": wanted.prometheus_url} if wanted.prometheus_url else {}
        namespace = KubernetesObject(
            f"{name}-namespace",
            "v1",
            "Namespace",
            metadata=cluster.namespace_metadata(
                NAMESPACE,
                labels={"linkerd.io/extension": "viz", "pod-security.kubernetes.io/enforce": "privileged"},
                annotations=external,
            ),
            opts=child,
        )
        self.namespace = namespace.name
        served = webhook_certificates(
            cluster, "viz", self.namespace, _SERVICES, namespace_name=NAMESPACE, trust=trust, opts=child
        )
        self.webhooks_expire = served.expires
        credentials = pull_secret(f"{name}-pull-secret", cluster, self.namespace, child)
        self.extension = helm_release(
            name,
            cluster=cluster,
            name="linkerd-viz",
            namespace=self.namespace,
            chart="linkerd-viz",
            version=cluster.settings.release.viz,
            source=charts,
            values=viz_values(
                cluster.settings, webhook_authority=trust.webhooks.certificate, pull=pull_secrets(cluster)
            ),
            # Its pods must be injected and mount the Secrets, and the chart uses the policy CRDs: it names none.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(depends_on=[linkerd.control_plane, *served.secrets, *credentials])
            ),
        ).drift_repair
        self.register_outputs({"namespace": self.namespace})
