"""Viz' dashboard on one cluster, behind an Ingress of ingress-nginx with basic auth.

Follows https://linkerd.io/2.14/tasks/exposing-dashboard/#nginx-with-basic-auth, but for its password that all know.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.cluster import SKIP_AWAIT, Cluster
from components.linkerd.dashboard_user import DashboardUser
from components.linkerd.viz import Viz
from components.sdk.kubernetes_object import KubernetesObject

BASIC_AUTH_SECRET = "web-ingress-auth"


def ingress_annotations(cluster_domain: str) -> dict[str, str]:
    """The annotations of the Ingress.

    Args:
        cluster_domain: of the cluster's DNS names: the dashboard refuses other hosts than its own.
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
    """The Ingress of one cluster's dashboard, and the Secret with who may see it.

    Args:
        cluster: where it goes.
        viz: the extension there.
        user: who may see it.
        before: what serves it, if this stack installs it.
        opts: the usual resource options.
    """

    def __init__(
        self,
        cluster: Cluster,
        viz: Viz,
        user: DashboardUser,
        before: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-dashboard"
        super().__init__("multicluster-mesh:index:Dashboard", name, None, opts)
        child = cluster.options(self)
        found = cluster.settings.extensions.viz
        wanted = found.dashboard if found is not None else None
        assert wanted is not None
        auth = KubernetesObject(
            f"{name}-auth",
            "v1",
            "Secret",
            metadata=cluster.metadata(BASIC_AUTH_SECRET, namespace=viz.namespace),
            type="Opaque",
            stringData={"auth": pulumi.Output.concat(user.htpasswd, "\n")},
            opts=child,
        )
        path = {
            "path": "/",
            "pathType": "Prefix",
            "backend": {"service": {"name": "web", "port": {"number": 8084}}},
        }
        host = {"host": wanted.host} if wanted.host is not None else {}
        KubernetesObject(
            f"{name}-ingress",
            "networking.k8s.io/v1",
            "Ingress",
            metadata=cluster.metadata(
                "web-ingress",
                namespace=viz.namespace,
                # Without a load balancer it never gets an address, and nobody needs to wait for one.
                annotations={**ingress_annotations(cluster.settings.linkerd.cluster_domain), **SKIP_AWAIT},
            ),
            spec={"ingressClassName": wanted.ingress_class, "rules": [{**host, "http": {"paths": [path]}}]},
            # Nobody may see the dashboard before nginx knows who may.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[auth, viz.extension, *before])),
        )
        self.register_outputs({})
