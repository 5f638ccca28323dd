"""The credentials of a link: a token of the target's account, and the kubeconfigs made of it in the source.

Follows the Secrets that `linkerd multicluster link` and `linkerd multicluster link-gen` print.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import pulumi
import yaml

from components.cluster import Cluster
from components.sdk.kubernetes_object import KubernetesObject
from mesh import config
from mesh.topology import Link

REMOTE_ACCESS_ACCOUNT = "linkerd-service-mirror-remote-access-default"


def credentials_kubeconfig(
    *, target: str, server: str, certificate_authority: str | None, token: str, user: str = REMOTE_ACCESS_ACCOUNT
) -> str:
    """The kubeconfig by which a service mirror reads the target's services.

    Args:
        target: the target cluster's name.
        server: the URL of its API server, as the source reaches it.
        certificate_authority: PEM in base64; without one the source's own trust store decides.
        token: of the target's service account.
        user: what to call that account.
    """
    cluster = {"server": server}
    if certificate_authority:
        cluster["certificate-authority-data"] = certificate_authority
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": target, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": target, "context": {"cluster": target, "user": user}}],
        "current-context": target,
    }
    return yaml.safe_dump(content, sort_keys=True)


def link_credentials(
    name: str,
    link: Link,
    target: Cluster,
    namespace: pulumi.Input[str],
    before: pulumi.Resource,
    parent: pulumi.Resource,
) -> pulumi.Output[str]:
    """A kubeconfig with a token of the target's account for links, for this source alone.

    A new generation of tokens is a Secret of another name, which Pulumi makes before it deletes the old one: in
    between, both tokens are valid, and what uses them changes over. To revoke a token at once, delete its Secret.

    Args:
        name: the resource name.
        link: the link.
        target: its target.
        namespace: of the multicluster extension there.
        before: what brings the account; without it, Kubernetes deletes the token's Secret at once.
        parent: the link's component.
    """
    secret = KubernetesObject(
        name,
        "v1",
        "Secret",
        metadata=target.metadata(
            token_name(link.source, target.settings.linkerd.link_tokens),
            namespace=namespace,
            annotations={"kubernetes.io/service-account.name": REMOTE_ACCESS_ACCOUNT},
        ),
        type="kubernetes.io/service-account-token",
        opts=pulumi.ResourceOptions.merge(target.options(parent), pulumi.ResourceOptions(depends_on=[before])),
    )
    found: pulumi.Output[Mapping[str, str]] = pulumi.Output.secret(secret.data)
    return found.apply(lambda data: _credentials_kubeconfig(target.settings, data))


def token_name(source: str, generation: str | None) -> str:
    """The name of a token's Secret in the target.

    Args:
        source: the cluster that has the token.
        generation: of the target's tokens; no cluster's name has a dot, so that it can't be taken for a part of that.
    """
    return ".".join(filter(None, (f"linkerd-service-mirror-remote-access-{source}", generation)))


def credentials_checksum(kubeconfig: pulumi.Output[str]) -> pulumi.Output[str]:
    """What changes with a kubeconfig, and tells nothing of it."""
    return pulumi.Output.unsecret(kubeconfig.apply(lambda text: hashlib.sha256(text.encode()).hexdigest()))


def credentials_secret(
    name: str,
    source: Cluster,
    namespace: pulumi.Input[str],
    target: str,
    kubeconfig: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
    *,
    discovery: config.ClusterSettings | None = None,
) -> KubernetesObject:
    """The credentials for the service mirror or, for `discovery`, for the control plane's own look into the target.

    Args:
        name: the resource name.
        source: where it goes.
        namespace: where it goes there.
        target: the target's name.
        kubeconfig: its content.
        opts: the resource options.
        discovery: the target, whose domains the control plane must know.
    """
    labels, annotations = {}, {}
    if discovery is not None:
        labels = {"multicluster.linkerd.io/cluster-name": target}
        annotations = {
            "multicluster.linkerd.io/trust-domain": discovery.linkerd.trust_domain,
            "multicluster.linkerd.io/cluster-domain": discovery.linkerd.cluster_domain,
        }
    return KubernetesObject(
        name,
        "v1",
        "Secret",
        metadata=source.metadata(
            f"cluster-credentials-{target}", namespace=namespace, labels=labels, annotations=annotations
        ),
        type="mirror.linkerd.io/remote-kubeconfig",
        stringData={"kubeconfig": kubeconfig},
        opts=opts,
    )


def _credentials_kubeconfig(target: config.ClusterSettings, data: Mapping[str, str]) -> str:
    # What the kubeconfig verifies the API server by; where it verifies nothing, what the cluster itself names.
    authority = target.context.certificate_authority if target.context.verified else data["ca.crt"]
    token = base64.b64decode(data["token"]).decode()
    return credentials_kubeconfig(
        target=target.name, server=target.api_server, certificate_authority=authority, token=token
    )
