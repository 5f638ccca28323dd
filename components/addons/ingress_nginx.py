"""ingress-nginx on one cluster, for the dashboard of viz.

Follows https://kubernetes.github.io/ingress-nginx/deploy/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import helm_release
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret, pull_secrets
from mesh import config

NAMESPACE = "ingress-nginx"


def ingress_nginx_values(cluster: config.ClusterSettings, pull: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The values of the ingress-nginx chart.

    Args:
        cluster: where it goes.
        pull: references to credentials for images.
    """
    extensions = cluster.extensions
    assert extensions.ingress_nginx is not None
    balanced = cluster.gateway.load_balancer.enabled and not cluster.gateway.node_port
    controller: dict[str, Any] = {
        # Annotations are another way in (CVE-2025-1097, CVE-2025-1098, CVE-2025-24514); this looks at what they say.
        "enableAnnotationValidations": True,
        # Its certificate comes from a hook's Job, and it has been a way into the cluster (CVE-2025-1974).
        "admissionWebhooks": {"enabled": False},
        # Without a load balancer its Service would wait for an address for ever.
        "service": {"type": "LoadBalancer" if balanced else "NodePort"},
    }
    if extensions.dashboard and extensions.viz is not None and extensions.viz.dashboard is not None:
        ingress_class = extensions.viz.dashboard.ingress_class
        controller |= {
            # The dashboard's Ingress has a snippet, as Linkerd's documentation gives it.
            "allowSnippetAnnotations": True,
            "config": {"annotations-risk-level": "Critical"},
            "ingressClass": ingress_class,
            "ingressClassResource": {"name": ingress_class},
        }
    values: dict[str, Any] = {"controller": controller}
    if pull:
        values["imagePullSecrets"] = pull
    return config.merge_values(values, extensions.ingress_nginx.values)


class IngressNginx(pulumi.ComponentResource):
    """ingress-nginx on one cluster.

    Args:
        cluster: where it goes.
        charts: where its chart comes from.
        before: what gives its pods a network and its Service an address.
        opts: the usual resource options.
    """

    ready: pulumi.Resource  # what must be there before an Ingress is served

    def __init__(
        self,
        cluster: Cluster,
        charts: str,
        before: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-ingress-nginx"
        super().__init__("multicluster-mesh:index:IngressNginx", name, None, opts)
        child = cluster.options(self)
        wanted = cluster.settings.extensions.ingress_nginx
        assert wanted is not None
        namespace = KubernetesObject(
            f"{name}-namespace", "v1", "Namespace", metadata=cluster.namespace_metadata(NAMESPACE), opts=child
        )
        credentials = pull_secret(f"{name}-pull-secret", cluster, namespace.name, child)
        self.ready = helm_release(
            name,
            cluster=cluster,
            name="ingress-nginx",
            namespace=namespace.name,
            chart="ingress-nginx",
            version=wanted.version,
            source=charts,
            values=ingress_nginx_values(cluster.settings, pull_secrets(cluster)),
            # Helm waits for the address of its Service, and its pods pull their images by the credentials.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[*before, *credentials])),
        ).drift_repair
        self.register_outputs({})
