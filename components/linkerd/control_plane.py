"""Linkerd on one cluster: its namespace, its identity, its CRDs and its control plane.

Follows https://linkerd.io/2.14/tasks/install-helm/ and https://linkerd.io/2.14/features/ha/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import helm_release
from components.helm.retained_crds import RetainedCrds
from components.linkerd.cni import Cni
from components.linkerd.identity_issuer import identity_issuer
from components.linkerd.pki import Trust
from components.linkerd.webhook_certificates import external_secret_values, webhook_certificates
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import pull_secret, pull_secrets
from mesh import config
from mesh.kube.ownership import LINKERD_CRDS

# Each webhook of the control plane: the chart's values for it, and its Service, whose name its certificate carries.
_WEBHOOKS: Mapping[str, str] = {
    "proxyInjector": "linkerd-proxy-injector",
    "profileValidator": "linkerd-sp-validator",
    "policyValidator": "linkerd-policy-validator",
}


def high_availability_values() -> dict[str, Any]:
    """What the linkerd-control-plane chart's own values-ha.yaml says."""
    cpu = {"limit": "", "request": "100m"}
    controller = {"cpu": cpu, "memory": {"limit": "250Mi", "request": "50Mi"}}
    components = ("controller", "destination", "heartbeat", "proxyInjector", "spValidator", "policyController")
    return {
        "enablePodDisruptionBudget": True,
        "enablePodAntiAffinity": True,
        "deploymentStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": "25%"}},
        "proxy": {"resources": {"cpu": {"request": "100m"}, "memory": {"limit": "250Mi", "request": "20Mi"}}},
        "controllerReplicas": 3,
        **{f"{component}Resources": controller for component in components},
        "identityResources": {"cpu": cpu, "memory": {"limit": "250Mi", "request": "10Mi"}},
        "webhookFailurePolicy": "Fail",
        "highAvailability": True,
    }


def image_values(registry: str) -> dict[str, Any]:
    """Where the control plane's images, and those that it injects, come from."""
    return {
        "controllerImage": f"{registry}/controller",
        "policyController": {"image": {"name": f"{registry}/policy-controller"}},
        "proxy": {"image": {"name": f"{registry}/proxy"}},
        "proxyInit": {"image": {"name": f"{registry}/proxy-init"}},
        "debugContainer": {"image": {"name": f"{registry}/debug"}},
    }


def crds_values(cluster: config.ClusterSettings) -> dict[str, Any]:
    """The values of the linkerd-crds chart.

    Args:
        cluster: where it goes.
    """
    release, own = cluster.release, dict[str, Any]()
    if cluster.extensions.gateway_api is not None:
        # Two owners of the Gateway API's HTTPRoute would take turns.
        own = dict.fromkeys(release.gateway_api_values, False)
    elif release.gateway_api_opt_in:
        own = dict.fromkeys(release.gateway_api_values, True)
    return config.merge_values(own, cluster.values("linkerd-crds"))


def control_plane_values(
    cluster: config.ClusterSettings,
    *,
    trust_anchor: pulumi.Input[str],
    webhook_authority: pulumi.Input[str],
    pull: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """The values of the linkerd-control-plane chart: no key among them, and nothing that is made anew on each render.

    Args:
        cluster: where it goes.
        trust_anchor: PEM of what every proxy of the mesh trusts.
        webhook_authority: PEM of what the API server trusts when it calls a webhook.
        pull: references to credentials for images.
    """
    linkerd = cluster.linkerd
    values: dict[str, Any] = {
        "linkerdVersion": cluster.release.tag,
        "clusterDomain": linkerd.cluster_domain,
        "cniEnabled": linkerd.cni,
        "identityTrustAnchorsPEM": trust_anchor,
        "identityTrustDomain": linkerd.trust_domain,
        "identity": {"issuer": {"scheme": "kubernetes.io/tls"}},
        "proxy": {"defaultInboundPolicy": linkerd.default_inbound_policy},
        "nodeSelector": {"kubernetes.io/os": "linux", **linkerd.node_selector},
        "tolerations": tolerations(cluster),
        # The chart would take the minute from the clock, so that each upgrade would change it.
        "heartbeatSchedule": "0 0 * * *",
        **dict.fromkeys(_WEBHOOKS, external_secret_values(webhook_authority)),
    }
    if pull:
        values["imagePullSecrets"] = pull
    if linkerd.high_availability:
        values = config.merge_values(values, high_availability_values())
    if linkerd.registry is not None:
        values = config.merge_values(values, image_values(linkerd.registry))
    return config.merge_values(values, cluster.values("linkerd-control-plane"))


def tolerations(cluster: config.ClusterSettings) -> list[dict[str, Any]]:
    """The tolerations of Linkerd's pods, as Kubernetes has them."""
    return [toleration.model_dump(by_alias=True, exclude_none=True) for toleration in cluster.linkerd.tolerations]


class Linkerd(pulumi.ComponentResource):
    """Linkerd's control plane on one cluster.

    Args:
        cluster: where it goes.
        charts: where its charts come from.
        trust: what the mesh trusts.
        network: what must be there before a pod has a network, where this program brings that.
        crds_before: CRDs that the control plane looks for and its own charts don't bring.
        opts: the usual resource options.
    """

    namespace: pulumi.Output[str]
    control_plane: pulumi.Resource  # what must be there before anything is meshed
    issuer_expires: pulumi.Output[str]
    webhooks_expire: pulumi.Output[str]

    def __init__(
        self,
        cluster: Cluster,
        charts: str,
        trust: Trust,
        network: Sequence[pulumi.Resource] = (),
        crds_before: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-linkerd"
        super().__init__("multicluster-mesh:index:Linkerd", name, None, opts)
        child = cluster.options(self)
        linkerd, version = cluster.settings.linkerd, cluster.settings.release
        before: list[pulumi.Resource] = []
        if linkerd.cni:
            before.append(Cni(cluster, charts, network, pulumi.ResourceOptions(parent=self)).plugin)
        namespace = KubernetesObject(
            f"{name}-namespace",
            "v1",
            "Namespace",
            metadata=cluster.namespace_metadata(
                linkerd.namespace,
                labels={
                    "linkerd.io/is-control-plane": "true",
                    "linkerd.io/control-plane-ns": linkerd.namespace,
                    "config.linkerd.io/admission-webhooks": "disabled",
                    # linkerd-init changes the pod's iptables, which only a privileged namespace allows.
                    "pod-security.kubernetes.io/enforce": "privileged",
                },
                annotations={"linkerd.io/inject": "disabled"},
            ),
            opts=child,
        )
        self.namespace = namespace.name
        identity = identity_issuer(cluster, self.namespace, trust, child)
        self.issuer_expires = identity.expires
        before += identity.ready
        served = webhook_certificates(
            cluster,
            "linkerd",
            self.namespace,
            tuple(_WEBHOOKS.values()),
            namespace_name=linkerd.namespace,
            trust=trust,
            opts=child,
        )
        self.webhooks_expire = served.expires
        before += served.secrets
        before += pull_secret(f"{name}-pull-secret", cluster, self.namespace, child)
        crds_after: list[pulumi.Resource] = [*network, *crds_before]
        if version.gateway_api_crds_retained:
            crds_after.append(
                RetainedCrds(
                    f"{name}-retained-crds",
                    cluster=cluster,
                    release=LINKERD_CRDS,
                    namespace=self.namespace,
                    opts=pulumi.ResourceOptions(parent=self),
                )
            )
        crds = helm_release(
            f"{name}-crds",
            cluster=cluster,
            name=LINKERD_CRDS,
            namespace=self.namespace,
            chart="linkerd-crds",
            version=version.crds,
            source=charts,
            values=crds_values(cluster.settings),
            # They are there at once; Helm looks every other second.
            wait=False,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=crds_after)),
        ).drift_repair
        self.control_plane = helm_release(
            f"{name}-control-plane",
            cluster=cluster,
            name="linkerd-control-plane",
            namespace=self.namespace,
            chart="linkerd-control-plane",
            version=version.control_plane,
            source=charts,
            values=control_plane_values(
                cluster.settings,
                trust_anchor=trust.anchor.certificate,
                webhook_authority=trust.webhooks.certificate,
                pull=pull_secrets(cluster),
            ),
            # The chart uses the kinds that linkerd-crds defines, its pods mount the Secrets, and the CNI plugin sets up
            # their traffic: it names none of them.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[crds, *before])),
        ).drift_repair
        self.register_outputs({"namespace": self.namespace})
