"""Credentials of a link: a token of an account in the target, and a kubeconfig with this token in the source.

Follows the Secrets that `linkerd multicluster link` and `linkerd multicluster link-gen` print.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pulumi
import yaml

from components.cluster import Cluster
from components.linkerd.multicluster import Multicluster
from components.rebuilt_objects import create_missing_object
from components.sdk.adoption import adopt_secret
from components.sdk.hooks import create_inputs_hook
from components.sdk.kubernetes_object import KubernetesObject
from mesh import config

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.kube.client import KubeClient
from mesh.kube.constants import REMOTE_KUBECONFIG_TYPE
from mesh.kube.watch import Collection, ObjectName, wait_until
from mesh.topology import Link

REMOTE_ACCESS_ACCOUNT = "linkerd-service-mirror-remote-access-default"
# Usually the account exists already.
ACCOUNT_TIMEOUT_S = 60.0
TOKEN_TIMEOUT_S = 10.0


class MissingAccountError(Exception):
    """The account of a link's token does not exist."""


def render_kubeconfig(
    *,
    target: str,
    server: str,
    certificate_authority: str | None,
    token: str,
    tls_server_name: str | None = None,
    user: str = REMOTE_ACCESS_ACCOUNT,
) -> str:
    """Return the kubeconfig with which a service mirror reads the target's services.

    Args:
        target: name of the target cluster.
        server: URL of the target's API server, as the source reaches it.
        certificate_authority: PEM in base64; without it, the source uses its system's trust store.
        token: token of the target's service account.
        tls_server_name: name in the API server's certificate, if that is not the URL's host.
        user: name of the user in the kubeconfig.
    """
    cluster = {"server": server}
    if certificate_authority:
        cluster["certificate-authority-data"] = certificate_authority
    if tls_server_name:
        cluster["tls-server-name"] = tls_server_name
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": target, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": target, "context": {"cluster": target, "user": user}}],
        "current-context": target,
    }
    return yaml.safe_dump(content, sort_keys=True)


def create_link_credentials(
    name: str,
    link: Link,
    target: Cluster,
    extension: Multicluster,
    parent: pulumi.Resource,
) -> pulumi.Output[str]:
    """Create a token in the target, and return a kubeconfig with it.

    Each source has its own token. A new generation of tokens is a Secret with another name. Pulumi creates it before
    it deletes the old one, so both tokens are valid while the source switches. To revoke a token at once, delete its
    Secret.

    Args:
        name: name of the Pulumi resource.
        link: the link.
        target: target cluster.
        extension: multicluster extension of the target.
        parent: component of the link.
    """
    secret = KubernetesObject(
        name,
        "v1",
        "Secret",
        metadata=target.metadata(
            token_name(link.source, target.settings.linkerd.link_tokens),
            namespace=extension.namespace,
            annotations={"kubernetes.io/service-account.name": REMOTE_ACCESS_ACCOUNT},
        ),
        type="kubernetes.io/service-account-token",
        # Hidden dependency: the extension's release creates the account.
        opts=pulumi.ResourceOptions.merge(
            extension.secret_options,
            pulumi.ResourceOptions(
                parent=parent, depends_on=[extension.installed], hooks=_create_token_binding(name, target)
            ),
        ),
    )
    token_data: pulumi.Output[Mapping[str, str]] = pulumi.Output.secret(secret.data)
    return token_data.apply(lambda data: _render_token_kubeconfig(target.settings, data))


def _create_token_binding(name: str, target: Cluster) -> pulumi.ResourceHookBinding:
    """Return the hook that creates a token's Secret and waits for the token.

    Pulumi looks for the token right after it has created the Secret, and again half a second later. With the hook, the
    token is there at the first look.
    """
    access, field_manager = target.access, target.identity.field_manager

    def create(inputs: Mapping[str, Any]) -> None:
        create_token(kube_client.connect(access), target.name, inputs, field_manager)

    hook = pulumi.ResourceHook(f"{name}-create", create_inputs_hook(create))
    return pulumi.ResourceHookBinding(before_create=[hook])


def create_token(client: KubeClient, cluster: str, secret: Mapping[str, Any], field_manager: str) -> None:
    """Create the Secret of a token if it does not exist, and wait until Kubernetes has written the token.

    Args:
        client: client of the target.
        cluster: name of the target, for messages.
        secret: the Secret.
        field_manager: field manager of the stack, with which Pulumi applies the Secret too.

    Raises:
        MissingAccountError: the token's account does not exist.
        ApiStatusError, ApiUnreachableError, BadCredentialsError: the Secret cannot be created.
    """
    namespace, name = secret["metadata"]["namespace"], secret["metadata"]["name"]
    # Kubernetes deletes a token's Secret without an account. After an interrupted `destroy`, the account can be missing
    # although the release is in the stack state.
    accounts = _collection(namespace, "serviceaccounts", REMOTE_ACCESS_ACCOUNT)
    if not wait_until(client, accounts, bool, timeout_s=ACCOUNT_TIMEOUT_S):
        raise MissingAccountError(
            f"{cluster}: ServiceAccount {REMOTE_ACCESS_ACCOUNT} in namespace {namespace} does not exist after "
            f"{ACCOUNT_TIMEOUT_S:g} s, but the tokens of links need it; run `pulumi up --refresh`, which creates it"
        )
    create_missing_object(client, secret, field_manager)
    # Pulumi waits longer, and reports a token that is never written.
    wait_until(client, _collection(namespace, "secrets", name), _have_tokens, timeout_s=TOKEN_TIMEOUT_S)


def _collection(namespace: str, kind: str, name: str) -> Collection:
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/{kind}"
    return Collection(path=path, field_selector=f"metadata.name={name}")


def _have_tokens(secrets: Mapping[ObjectName, Mapping[str, Any]]) -> bool:
    return all((each.get("data") or {}).get("token") for each in secrets.values())


def token_name(source: str, generation: str | None) -> str:
    """Return the name of a token's Secret in the target.

    Args:
        source: name of the source cluster.
        generation: generation of the target's tokens. A dot separates it, because no cluster name contains one.
    """
    return ".".join(filter(None, (f"linkerd-service-mirror-remote-access-{source}", generation)))


def credentials_checksum(kubeconfig: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return a checksum of a kubeconfig, which is not secret."""
    return pulumi.Output.unsecret(kubeconfig.apply(lambda text: hashlib.sha256(text.encode()).hexdigest()))


def create_credentials_secret(
    name: str,
    source: Cluster,
    namespace: pulumi.Input[str],
    target: str,
    kubeconfig: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
    *,
    discovery: config.ClusterSettings | None = None,
) -> KubernetesObject:
    """Create the Secret with a link's kubeconfig in the source.

    The service mirror and the control plane each read a Secret in their own namespace. The control plane's copy also
    has the target's domains.

    Args:
        name: name of the Pulumi resource.
        source: source cluster.
        namespace: namespace of the Secret.
        target: name of the target cluster.
        kubeconfig: content of the Secret.
        opts: resource options.
        discovery: settings of the target, for the control plane's copy; None for the service mirror's.
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
        type=REMOTE_KUBECONFIG_TYPE,
        stringData={"kubeconfig": kubeconfig},
        opts=adopt_secret(name, source, opts),
    )


def _render_token_kubeconfig(target: config.ClusterSettings, data: Mapping[str, str]) -> str:
    access = target.peer_access
    return render_kubeconfig(
        target=target.name,
        server=target.api_server,
        # A cluster can have no CA in its tokens' Secrets. The source then uses its system's trust store.
        certificate_authority=data.get("ca.crt") if access.uses_cluster_authority else access.certificate_authority,
        token=base64.b64decode(data["token"]).decode(),
        tls_server_name=access.tls_server_name,
    )
