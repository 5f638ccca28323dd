"""Linkerd on one cluster: namespace, identity issuer, CRDs and control plane.

Follows https://linkerd.io/2.14/tasks/install-helm/ and https://linkerd.io/2.14/features/ha/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.helm.release import create_helm_release
from components.helm.retained_crds import RetainedCrds
from components.linkerd.cni import Cni
from components.linkerd.identity_issuer import create_identity_issuer
from components.linkerd.pki import Trust
from components.linkerd.webhook_certificates import create_webhook_certificates, external_secret_values
from components.namespace import create_namespace, deleted_with
from components.sdk.secrets import create_pull_secret, pull_secret_references
from mesh import config

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube.ownership import LINKERD_CRDS_RELEASE
from mesh.readiness.injection import wait_for_injector

# Webhooks of the control plane: the key of each in the chart's values, and its Service.
_WEBHOOKS: Mapping[str, str] = {
    "proxyInjector": "linkerd-proxy-injector",
    "profileValidator": "linkerd-sp-validator",
    "policyValidator": "linkerd-policy-validator",
}


def high_availability_values() -> dict[str, Any]:
    """Return the content of values-ha.yaml in the linkerd-control-plane chart."""
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
    """Return the values that set the registry of the control plane's and the injected images."""
    return {
        "controllerImage": f"{registry}/controller",
        "policyController": {"image": {"name": f"{registry}/policy-controller"}},
        "proxy": {"image": {"name": f"{registry}/proxy"}},
        "proxyInit": {"image": {"name": f"{registry}/proxy-init"}},
        "debugContainer": {"image": {"name": f"{registry}/debug"}},
    }


def crds_values(cluster: config.ClusterSettings) -> dict[str, Any]:
    """Return the values of the linkerd-crds chart.

    Args:
        cluster: settings of the cluster.
    """
    linkerd_release, values = cluster.linkerd_release, dict[str, Any]()
    if cluster.extensions.gateway_api is not None:
        # With two owners, each update of one would overwrite the CRDs of the other.
        values = dict.fromkeys(linkerd_release.gateway_api_values, False)
    elif linkerd_release.is_gateway_api_opt_in:
        values = dict.fromkeys(linkerd_release.gateway_api_values, True)
    return config.merge_values(values, cluster.values("linkerd-crds"))


def control_plane_values(
    cluster: config.ClusterSettings,
    *,
    trust_anchor: pulumi.Input[str],
    webhook_authority: pulumi.Input[str],
    pull_secrets: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """Return the values of the linkerd-control-plane chart.

    The values contain no private key. All values that the chart would otherwise generate at each render are set.

    Args:
        cluster: settings of the cluster.
        trust_anchor: PEM of the mesh's trust anchor.
        webhook_authority: PEM of the CA with which the API server verifies the webhooks.
        pull_secrets: references to image pull secrets.
    """
    linkerd = cluster.linkerd
    values: dict[str, Any] = {
        "linkerdVersion": cluster.linkerd_release.tag,
        "clusterDomain": linkerd.cluster_domain,
        "cniEnabled": linkerd.cni,
        "identityTrustAnchorsPEM": trust_anchor,
        "identityTrustDomain": linkerd.trust_domain,
        "identity": {"issuer": {"scheme": "kubernetes.io/tls"}},
        "proxy": {"defaultInboundPolicy": linkerd.default_inbound_policy},
        **scheduling_values(cluster),
        # By default, the chart sets the current minute, so each upgrade would change the schedule.
        "heartbeatSchedule": "0 0 * * *",
        **dict.fromkeys(_WEBHOOKS, external_secret_values(webhook_authority)),
    }
    if pull_secrets:
        values["imagePullSecrets"] = pull_secrets
    if linkerd.high_availability:
        values = config.merge_values(values, high_availability_values())
    if linkerd.registry is not None:
        values = config.merge_values(values, image_values(linkerd.registry))
    return config.merge_values(values, cluster.values("linkerd-control-plane"))


def tolerations(cluster: config.ClusterSettings) -> list[dict[str, Any]]:
    """Return the tolerations of Linkerd's pods in the form of the Kubernetes API."""
    return [toleration.model_dump(by_alias=True, exclude_none=True) for toleration in cluster.linkerd.tolerations]


def scheduling_values(cluster: config.ClusterSettings) -> dict[str, Any]:
    """Return the values that select the nodes of Linkerd's pods."""
    node_selector = {"kubernetes.io/os": "linux", **cluster.linkerd.node_selector}
    return {"nodeSelector": node_selector, "tolerations": tolerations(cluster)}


def extension_labels(extension: str) -> dict[str, str]:
    """Return the labels of the namespace of a Linkerd extension."""
    # Only a privileged namespace allows linkerd-init to change the pod's iptables.
    return {"linkerd.io/extension": extension, "pod-security.kubernetes.io/enforce": "privileged"}


class Linkerd(pulumi.ComponentResource):
    """Linkerd's control plane on one cluster.

    Args:
        cluster: cluster to install Linkerd on.
        charts: source of the charts.
        trust: authorities of the mesh.
        network: resources of the cluster's network plugin, if this stack installs it.
        crds: resources that install CRDs which the control plane needs and its charts lack.
        opts: resource options.
    """

    namespace: pulumi.Output[str]
    secret_options: pulumi.ResourceOptions  # for Secrets in the namespace
    control_plane: pulumi.Resource  # a dependency of each resource that needs the injector, the CRDs or the webhooks
    issuer_expiry: pulumi.Output[str]  # RFC 3339, or a note that cert-manager renews the issuer
    webhook_expiry: pulumi.Output[str]  # RFC 3339

    def __init__(
        self,
        cluster: Cluster,
        charts: str,
        trust: Trust,
        network: Sequence[pulumi.Resource] = (),
        crds: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = f"{cluster.name}-linkerd"
        super().__init__("multicluster-mesh:index:Linkerd", name, None, opts)
        child_options = cluster.options(self)
        linkerd, linkerd_release = cluster.settings.linkerd, cluster.settings.linkerd_release
        dependencies: list[pulumi.Resource] = []
        if linkerd.cni:
            dependencies.append(Cni(cluster, charts, network, pulumi.ResourceOptions(parent=self)).ready)
        created = create_namespace(
            f"{name}-namespace",
            cluster,
            linkerd.namespace,
            labels={
                "linkerd.io/is-control-plane": "true",
                "linkerd.io/control-plane-ns": linkerd.namespace,
                "config.linkerd.io/admission-webhooks": "disabled",
                # Only a privileged namespace allows linkerd-init to change the pod's iptables.
                "pod-security.kubernetes.io/enforce": "privileged",
            },
            annotations={"linkerd.io/inject": "disabled"},
            opts=child_options,
        )
        self.namespace = created.name
        self.secret_options = deleted_with(created, child_options)
        issuer = create_identity_issuer(cluster, self.namespace, trust, self.secret_options)
        self.issuer_expiry = issuer.expiry
        dependencies += issuer.dependencies
        certificates = create_webhook_certificates(
            cluster,
            "linkerd",
            self.namespace,
            tuple(_WEBHOOKS.values()),
            namespace_name=linkerd.namespace,
            trust=trust,
            opts=self.secret_options,
        )
        self.webhook_expiry = certificates.expiry
        dependencies += certificates.secrets
        dependencies += create_pull_secret(f"{name}-pull-secret", cluster, self.namespace, self.secret_options)
        crds_dependencies: list[pulumi.Resource] = [*network, *crds]
        if linkerd_release.has_retained_gateway_api_crds:
            crds_dependencies.append(
                RetainedCrds(
                    f"{name}-retained-crds",
                    cluster=cluster,
                    release=LINKERD_CRDS_RELEASE,
                    namespace=self.namespace,
                    opts=pulumi.ResourceOptions(parent=self),
                )
            )
        linkerd_crds = create_helm_release(
            f"{name}-crds",
            cluster=cluster,
            name=LINKERD_CRDS_RELEASE,
            namespace=self.namespace,
            chart="linkerd-crds",
            version=linkerd_release.crds,
            source=charts,
            values=crds_values(cluster.settings),
            # Hidden dependencies: the network, CRDs from other sources, and the cleanup of CRDs that Helm retains.
            opts=pulumi.ResourceOptions.merge(child_options, pulumi.ResourceOptions(depends_on=crds_dependencies)),
        ).ready
        self.control_plane = create_helm_release(
            f"{name}-control-plane",
            cluster=cluster,
            name="linkerd-control-plane",
            namespace=self.namespace,
            chart="linkerd-control-plane",
            version=linkerd_release.control_plane,
            source=charts,
            values=control_plane_values(
                cluster.settings,
                trust_anchor=trust.anchor.certificate,
                webhook_authority=trust.webhooks.certificate,
                pull_secrets=pull_secret_references(cluster),
            ),
            # A pod that is created before the API server reaches the injector gets no proxy, without any error.
            on_ready=lambda client, report: wait_for_injector(client, cluster.name, report),
            # Hidden dependencies: the CRDs of the chart's objects, the Secrets that the pods mount, the CNI plugin.
            opts=pulumi.ResourceOptions.merge(
                child_options, pulumi.ResourceOptions(depends_on=[linkerd_crds, *dependencies])
            ),
        ).ready
        self.register_outputs({"namespace": self.namespace})
