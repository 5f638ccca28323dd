"""ingress-nginx, which serves the dashboard of viz.

Follows https://kubernetes.github.io/ingress-nginx/deploy/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.chart_component import ChartComponent
from components.sdk.secrets import pull_secret_references
from mesh import config

NAMESPACE = "ingress-nginx"


def ingress_nginx_values(
    cluster: config.ClusterSettings, pull_secrets: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Return the values of the ingress-nginx chart.

    Args:
        cluster: settings of the cluster.
        pull_secrets: references to image pull secrets.
    """
    extensions = cluster.extensions
    assert extensions.ingress_nginx is not None
    controller: dict[str, Any] = {
        # Unchecked annotations allowed attacks on the cluster: CVE-2025-1097, CVE-2025-1098, CVE-2025-24514.
        "enableAnnotationValidations": True,
        # The webhook had a vulnerability (CVE-2025-1974), and needs a Helm hook, which this program disables.
        "admissionWebhooks": {"enabled": False},
        # Without a load balancer, Helm would wait indefinitely for the Service's address.
        "service": {"type": "LoadBalancer" if cluster.gateway_exposure.has_load_balancer else "NodePort"},
    }
    if extensions.has_dashboard and extensions.viz is not None and extensions.viz.dashboard is not None:
        ingress_class = extensions.viz.dashboard.ingress_class
        controller |= {
            # The dashboard's Ingress contains the snippet from Linkerd's documentation.
            "allowSnippetAnnotations": True,
            "config": {"annotations-risk-level": "Critical"},
            "ingressClass": ingress_class,
            "ingressClassResource": {"name": ingress_class},
        }
    values: dict[str, Any] = {"controller": controller}
    if pull_secrets:
        values["imagePullSecrets"] = pull_secrets
    return config.merge_values(values, extensions.ingress_nginx.values)


class IngressNginx(ChartComponent):
    """ingress-nginx on one cluster.

    Args:
        cluster: cluster to install ingress-nginx on.
        charts: source of the chart.
        depends_on: resources that give the pods a network and the Service an address.
        opts: resource options.
    """

    def __init__(
        self,
        cluster: Cluster,
        charts: str,
        depends_on: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        settings = cluster.settings.extensions.ingress_nginx
        assert settings is not None
        super().__init__("multicluster-mesh:index:IngressNginx", "ingress-nginx", cluster, NAMESPACE, opts=opts)
        self.install_chart(
            "ingress-nginx",
            settings.version,
            charts,
            ingress_nginx_values(cluster.settings, pull_secret_references(cluster)),
            # Hidden dependencies: the pods' network, and the load balancer's address, which Helm waits for.
            depends_on=depends_on,
        )
        self.register_outputs({})
