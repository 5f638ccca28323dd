"""Linkerd on one cluster: its namespace, its identity, its CRDs and its control plane.

Follows https://linkerd.io/2.14/tasks/install-helm/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster import Cluster
from components.helm import release
from components.trust import Certificate, Trust
from versions import LinkerdRelease

NAMESPACE = "linkerd"

# Each webhook of the control plane: the chart's values for it, and its Service, whose name its certificate carries.
_WEBHOOKS: Mapping[str, str] = {
    "proxyInjector": "linkerd-proxy-injector",
    "profileValidator": "linkerd-sp-validator",
    "policyValidator": "linkerd-policy-validator",
}


def control_plane_values(
    linkerd: LinkerdRelease, *, trust_anchor: pulumi.Input[str], webhook_authority: pulumi.Input[str]
) -> dict[str, Any]:
    """The values of the linkerd-control-plane chart: no key among them, and nothing that is made anew on each render.

    Args:
        linkerd: the release that is installed.
        trust_anchor: PEM of what every proxy of the mesh trusts.
        webhook_authority: PEM of what the API server trusts when it calls a webhook.
    """
    webhook = {"externalSecret": True, "caBundle": webhook_authority}
    return {
        "linkerdVersion": linkerd.tag,
        "identityTrustAnchorsPEM": trust_anchor,
        "identityTrustDomain": "cluster.local",
        "identity": {"issuer": {"scheme": "kubernetes.io/tls"}},
        # The chart would take the minute from the clock, so that each upgrade would change it.
        "heartbeatSchedule": "0 0 * * *",
        **dict.fromkeys(_WEBHOOKS, webhook),
    }


class Linkerd(pulumi.ComponentResource):
    """Linkerd's control plane on one cluster.

    Args:
        cluster: where it goes.
        linkerd: the release.
        charts: where its charts come from.
        trust: what the mesh trusts.
        opts: the usual resource options.
    """

    namespace: pulumi.Output[str]
    control_plane: pulumi.Resource  # what must be there before anything is meshed
    issuer: Certificate
    webhooks: Certificate

    def __init__(
        self,
        cluster: Cluster,
        linkerd: LinkerdRelease,
        charts: str,
        trust: Trust,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-linkerd"
        super().__init__("multicluster-mesh:index:Linkerd", name, None, opts)
        child = cluster.options(self)
        namespace = kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata=cluster.metadata(
                NAMESPACE,
                labels={
                    "linkerd.io/is-control-plane": "true",
                    "linkerd.io/control-plane-ns": NAMESPACE,
                    "config.linkerd.io/admission-webhooks": "disabled",
                    # linkerd-init changes the pod's iptables, which only a privileged namespace allows.
                    "pod-security.kubernetes.io/enforce": "privileged",
                },
                annotations={"linkerd.io/inject": "disabled"},
            ),
            opts=child,
        )
        self.namespace = namespace.metadata.name

        self.issuer = Certificate(
            f"{cluster.name}-issuer",
            trust.anchor,
            "identity.linkerd.cluster.local",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.webhooks = Certificate(
            f"{cluster.name}-linkerd-webhooks",
            trust.webhooks,
            f"linkerd-webhooks.{NAMESPACE}.svc",
            [f"{service}.{NAMESPACE}.svc" for service in _WEBHOOKS.values()],
            opts=pulumi.ResourceOptions(parent=self),
        )
        secrets = [
            tls_secret(
                f"{name}-issuer-secret",
                cluster,
                self.namespace,
                "linkerd-identity-issuer",
                self.issuer,
                child,
                authority=True,
            ),
            *(
                tls_secret(
                    f"{cluster.name}-{service}-secret",
                    cluster,
                    self.namespace,
                    f"{service}-k8s-tls",
                    self.webhooks,
                    child,
                )
                for service in _WEBHOOKS.values()
            ),
        ]
        crds = release(
            f"{name}-crds",
            cluster=cluster,
            name="linkerd-crds",
            namespace=self.namespace,
            chart="linkerd-crds",
            version=linkerd.crds,
            source=charts,
            values={},
            opts=child,
        )
        self.control_plane = release(
            f"{name}-control-plane",
            cluster=cluster,
            name="linkerd-control-plane",
            namespace=self.namespace,
            chart="linkerd-control-plane",
            version=linkerd.control_plane,
            source=charts,
            values=control_plane_values(
                linkerd, trust_anchor=trust.anchor.certificate, webhook_authority=trust.webhooks.certificate
            ),
            # The chart uses the kinds that linkerd-crds defines, and its pods mount the Secrets: it names neither.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[crds, *secrets])),
        )
        self.register_outputs({"namespace": self.namespace})


def tls_secret(
    resource_name: str,
    cluster: Cluster,
    namespace: pulumi.Input[str],
    name: str,
    certificate: Certificate,
    opts: pulumi.ResourceOptions,
    *,
    authority: bool = False,
) -> kubernetes.core.v1.Secret:
    """A `kubernetes.io/tls` Secret; with `authority`, it also holds the signer's certificate as `ca.crt`."""
    data: dict[str, pulumi.Input[str]] = {"tls.crt": certificate.certificate, "tls.key": certificate.private_key}
    if authority:
        data["ca.crt"] = certificate.authority
    return kubernetes.core.v1.Secret(
        resource_name,
        metadata=cluster.metadata(name, namespace=namespace),
        type="kubernetes.io/tls",
        string_data=data,
        opts=opts,
    )
