"""Ingress of viz' dashboard: ingress-nginx with basic auth.

Follows https://linkerd.io/2.14/tasks/exposing-dashboard/#nginx-with-basic-auth, except for its publicly known password.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.cluster import SKIP_AWAIT, Cluster
from components.linkerd.dashboard_user import DashboardUser
from components.linkerd.viz import Viz
from components.sdk.adoption import adopt_secret
from components.sdk.kubernetes_object import KubernetesObject

BASIC_AUTH_SECRET = "web-ingress-auth"


def ingress_annotations(cluster_domain: str) -> dict[str, str]:
    """Return the annotations of the Ingress.

    Args:
        cluster_domain: DNS domain of the cluster; the dashboard rejects requests with another host.
    """
    nginx = "nginx.ingress.kubernetes.io"
    return {
        f"{nginx}/auth-type": "basic",
        f"{nginx}/auth-secret": BASIC_AUTH_SECRET,
        f"{nginx}/auth-realm": "Authentication Required",
        f"{nginx}/upstream-vhost": f"$service_name.$namespace.svc.{cluster_domain}:8084",
        f"{nginx}/configuration-snippet": (
            'proxy_set_header Origin "";\nproxy_hide_header l5d-remote-ip;\nproxy_hide_header l5d-server-id;\n'
        ),
    }


class Dashboard(pulumi.ComponentResource):
    """The Ingress of one cluster's dashboard, and the Secret with its user.

    Args:
        cluster: cluster of the dashboard.
        viz: viz extension of the cluster.
        user: user of the dashboard.
        ingress: resources of ingress-nginx, if this stack installs it.
        opts: resource options.
    """

    def __init__(
        self,
        cluster: Cluster,
        viz: Viz,
        user: DashboardUser,
        ingress: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-dashboard"
        super().__init__("multicluster-mesh:index:Dashboard", name, None, opts)
        child_options = cluster.options(self)
        viz_settings = cluster.settings.extensions.viz
        settings = viz_settings.dashboard if viz_settings is not None else None
        assert settings is not None
        auth = KubernetesObject(
            f"{name}-auth",
            "v1",
            "Secret",
            metadata=cluster.metadata(BASIC_AUTH_SECRET, namespace=viz.namespace),
            type="Opaque",
            stringData={"auth": pulumi.Output.concat(user.htpasswd, "\n")},
            opts=adopt_secret(f"{name}-auth", cluster, child_options),
        )
        path = {
            "path": "/",
            "pathType": "Prefix",
            "backend": {"service": {"name": "web", "port": {"number": 8084}}},
        }
        host = {"host": settings.host} if settings.host is not None else {}
        KubernetesObject(
            f"{name}-ingress",
            "networking.k8s.io/v1",
            "Ingress",
            metadata=cluster.metadata(
                "web-ingress",
                namespace=viz.namespace,
                # Without a load balancer the Ingress never gets an address, and no resource needs it.
                annotations={**ingress_annotations(cluster.settings.linkerd.cluster_domain), **SKIP_AWAIT},
            ),
            spec={"ingressClassName": settings.ingress_class, "rules": [{**host, "http": {"paths": [path]}}]},
            # Hidden dependencies: the Secret, so that every request is authenticated; the backend; the controller.
            opts=pulumi.ResourceOptions.merge(
                child_options, pulumi.ResourceOptions(depends_on=[auth, viz.ready, *ingress])
            ),
        )
        self.register_outputs({})
