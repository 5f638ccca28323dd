"""Linkerd's jaeger extension on one cluster: distributed tracing.

Follows https://linkerd.io/2.14/tasks/distributed-tracing/.
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

NAMESPACE = "linkerd-jaeger"
_SERVICES = ("jaeger-injector",)


def jaeger_values(
    cluster: config.ClusterSettings, *, webhook_authority: pulumi.Input[str], pull: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """The values of the linkerd-jaeger chart.

    Args:
        cluster: where it goes.
        webhook_authority: PEM of what the API server trusts when it calls the injector.
        pull: references to credentials for images.
    """
    linkerd = cluster.linkerd
    nodes = {
        "nodeSelector": {"kubernetes.io/os": "linux", **linkerd.node_selector},
        "tolerations": tolerations(cluster),
    }
    values: dict[str, Any] = {
        "linkerdVersion": cluster.release.tag,
        "linkerdNamespace": linkerd.namespace,
        "clusterDomain": linkerd.cluster_domain,
        "collector": nodes,
        "jaeger": nodes,
        "webhook": {**nodes, **external_secret_values(webhook_authority)},
    }
    # The chart would take its tag from a default that only Linkerd's own command overrides.
    values["webhook"]["image"] = {"version": cluster.release.tag}
    if cluster.release.namespace_metadata_value:
        values["createNamespaceMetadataJob"] = False
    if linkerd.registry is not None:
        values["webhook"]["image"]["name"] = f"{linkerd.registry}/jaeger-webhook"
    if pull:
        values["imagePullSecrets"] = pull
    return config.merge_values(values, cluster.values("linkerd-jaeger"))


class Jaeger(pulumi.ComponentResource):
    """The jaeger extension on one cluster.

    Args:
        cluster: where it goes.
        linkerd: the control plane there.
        trust: who signs its injector's certificate.
        charts: where its chart comes from.
        opts: the usual resource options.
    """

    extension: pulumi.Resource  # the release: what must be there before a pod that is traced
    webhooks_expire: pulumi.Output[str]

    def __init__(
        self,
        cluster: Cluster,
        linkerd: Linkerd,
        trust: Trust,
        charts: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-jaeger"
        super().__init__("multicluster-mesh:index:Jaeger", name, None, opts)
        child = cluster.options(self)
        namespace = KubernetesObject(
            f"{name}-namespace",
            "v1",
            "Namespace",
            metadata=cluster.namespace_metadata(
                NAMESPACE,
                labels={"linkerd.io/extension": "jaeger", "pod-security.kubernetes.io/enforce": "privileged"},
            ),
            opts=child,
        )
        there = namespace.name
        served = webhook_certificates(
            cluster, "jaeger", there, _SERVICES, namespace_name=NAMESPACE, trust=trust, opts=child
        )
        self.webhooks_expire = served.expires
        credentials = pull_secret(f"{name}-pull-secret", cluster, there, child)
        self.extension = helm_release(
            name,
            cluster=cluster,
            name="linkerd-jaeger",
            namespace=there,
            chart="linkerd-jaeger",
            version=cluster.settings.release.jaeger,
            source=charts,
            values=jaeger_values(
                cluster.settings, webhook_authority=trust.webhooks.certificate, pull=pull_secrets(cluster)
            ),
            # Its pods must be injected and mount the Secret, and the chart uses the policy CRDs: it names none.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(depends_on=[linkerd.control_plane, *served.secrets, *credentials])
            ),
        ).drift_repair
        self.register_outputs({})
