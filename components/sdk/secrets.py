"""The Secrets that this program makes in a cluster: keys with their certificates, and credentials for images."""

from __future__ import annotations

import pulumi

from components.cluster import Cluster
from components.sdk.kubernetes_object import KubernetesObject

# The Secret of the stack's own credentials for images, in each namespace that needs them.
PULL_SECRET_NAME = "multicluster-mesh-registry"


def tls_secret(
    resource_name: str,
    cluster: Cluster,
    namespace: pulumi.Input[str],
    name: str,
    *,
    certificate: pulumi.Input[str],
    private_key: pulumi.Input[str],
    authority: pulumi.Input[str] | None = None,
    opts: pulumi.ResourceOptions,
) -> KubernetesObject:
    """A `kubernetes.io/tls` Secret; with `authority`, it also holds the signer's certificate as `ca.crt`."""
    data = {"tls.crt": certificate, "tls.key": private_key}
    if authority is not None:
        data["ca.crt"] = authority
    return KubernetesObject(
        resource_name,
        "v1",
        "Secret",
        metadata=cluster.metadata(name, namespace=namespace),
        type="kubernetes.io/tls",
        stringData=data,
        opts=opts,
    )


def pull_secrets(cluster: Cluster) -> list[dict[str, str]]:
    """The references by which pods on a cluster name the credentials for their images."""
    own = [PULL_SECRET_NAME] if cluster.pull_credentials is not None else []
    return [{"name": name} for name in (*own, *cluster.settings.linkerd.image_pull_secrets)]


def pull_secret(
    resource_name: str, cluster: Cluster, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """The stack's own credentials for images in a namespace, if it has any."""
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
            opts=opts,
        )
    ]
