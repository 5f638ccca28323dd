"""The certificates of webhooks, and of APIs that the API server calls as it calls webhooks: made once, and pinned.

Linkerd's charts would make them anew on each render, so that each upgrade would restart what serves them. Follows
https://linkerd.io/2.14/tasks/automatically-rotating-webhook-tls-credentials/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.cluster import Cluster
from components.linkerd.pki import Certificate, Trust
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import tls_secret


@dataclass(frozen=True, kw_only=True)
class WebhookCertificates:
    """The certificate of some services, in the Secrets that their pods mount."""

    secrets: list[KubernetesObject]
    expires: pulumi.Output[str]  # RFC 3339


def external_secret_values(webhook_authority: pulumi.Input[str]) -> Mapping[str, Any]:
    """What Linkerd's charts want to know of a webhook whose certificate is there already.

    Args:
        webhook_authority: PEM of what the API server trusts when it calls it.
    """
    return {"externalSecret": True, "caBundle": webhook_authority}


def webhook_certificates(
    cluster: Cluster,
    part: str,
    namespace: pulumi.Input[str],
    services: Sequence[str],
    *,
    namespace_name: str,
    trust: Trust,
    opts: pulumi.ResourceOptions,
) -> WebhookCertificates:
    """One certificate for some services of a namespace, in a Secret for each.

    Args:
        cluster: where they are.
        part: what they belong to, for resource names.
        namespace: theirs, once it is there.
        services: their names; the Secret of each is `<service>-k8s-tls`.
        namespace_name: the namespace's name, for the certificate.
        trust: who signs.
        opts: the resource options of a child of what they belong to.
    """
    certificate = Certificate(
        f"{cluster.name}-{part}-webhooks",
        trust.webhooks,
        f"{part}-webhooks.{namespace_name}.svc",
        hours=trust.lifetimes.webhooks,
        renew_before=trust.lifetimes.renew_before,
        dns_names=[f"{service}.{namespace_name}.svc" for service in services],
        opts=pulumi.ResourceOptions(parent=opts.parent),
    )
    secrets = [
        tls_secret(
            f"{cluster.name}-{service}-secret",
            cluster,
            namespace,
            f"{service}-k8s-tls",
            certificate=certificate.certificate,
            private_key=certificate.private_key,
            opts=opts,
        )
        for service in services
    ]
    return WebhookCertificates(secrets=secrets, expires=certificate.expires)
