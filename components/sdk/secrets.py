"""TLS Secrets and image pull secrets."""

from __future__ import annotations

import pulumi

from components.cluster import Cluster
from components.sdk.adoption import adopt_secret
from components.sdk.kubernetes_object import KubernetesObject

# Name of the stack's image pull secret, which is the same in each namespace.
PULL_SECRET_NAME = "multicluster-mesh-registry"


def create_tls_secret(
    resource_name: str,
    cluster: Cluster,
    namespace: pulumi.Input[str],
    name: str,
    *,
    certificate: pulumi.Input[str],
    private_key: pulumi.Input[str],
    ca: pulumi.Input[str] | None = None,
    opts: pulumi.ResourceOptions,
) -> KubernetesObject:
    """Create a `kubernetes.io/tls` Secret.

    Args:
        resource_name: name of the Pulumi resource.
        cluster: cluster to create the Secret on.
        namespace: namespace of the Secret.
        name: name of the Secret.
        certificate: PEM for `tls.crt`.
        private_key: PEM for `tls.key`.
        ca: PEM of the signing CA for `ca.crt`; None leaves the key out.
        opts: resource options.
    """
    data = {"tls.crt": certificate, "tls.key": private_key}
    if ca is not None:
        data["ca.crt"] = ca
    return KubernetesObject(
        resource_name,
        "v1",
        "Secret",
        metadata=cluster.metadata(name, namespace=namespace),
        type="kubernetes.io/tls",
        stringData=data,
        opts=adopt_secret(resource_name, cluster, opts),
    )


def pull_secret_references(cluster: Cluster) -> list[dict[str, str]]:
    """Return the `imagePullSecrets` of pods on a cluster: the stack's own and those of the settings."""
    names = [PULL_SECRET_NAME] if cluster.pull_credentials is not None else []
    return [{"name": name} for name in (*names, *cluster.settings.linkerd.image_pull_secrets)]


def create_pull_secret(
    resource_name: str, cluster: Cluster, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Create the stack's image pull secret in a namespace, if the stack has registry credentials."""
    if cluster.pull_credentials is None:
        return []
    return [
        KubernetesObject(
            resource_name,
            "v1",
            "Secret",
            metadata=cluster.metadata(PULL_SECRET_NAME, namespace=namespace),
            type="kubernetes.io/dockerconfigjson",
            stringData={".dockerconfigjson": cluster.pull_credentials},
            opts=adopt_secret(resource_name, cluster, opts),
        )
    ]
