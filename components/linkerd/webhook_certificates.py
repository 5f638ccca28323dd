"""Certificates of webhooks and of aggregated APIs, which the API server verifies in the same way.

Linkerd's charts would generate new ones at each render, and each upgrade would restart the pods that use them. Follows
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
from components.sdk.secrets import create_tls_secret


@dataclass(frozen=True, kw_only=True)
class WebhookCertificates:
    """A certificate, and the Secrets that contain it."""

    secrets: list[KubernetesObject]
    expiry: pulumi.Output[str]  # RFC 3339


def external_secret_values(webhook_authority: pulumi.Input[str]) -> Mapping[str, Any]:
    """Return the values that make a Linkerd chart use an existing webhook certificate.

    Args:
        webhook_authority: PEM of the CA with which the API server verifies the webhook.
    """
    return {"externalSecret": True, "caBundle": webhook_authority}


def create_webhook_certificates(
    cluster: Cluster,
    component: str,
    namespace: pulumi.Input[str],
    services: Sequence[str],
    *,
    namespace_name: str,
    trust: Trust,
    opts: pulumi.ResourceOptions,
) -> WebhookCertificates:
    """Create one certificate for several services, and one Secret per service that contains it.

    Args:
        cluster: cluster of the services.
        component: component of the services, for resource names.
        namespace: namespace of the services, known once it exists.
        services: names of the services; the Secret of each is `<service>-k8s-tls`.
        namespace_name: name of the namespace, for the certificate.
        trust: authorities of the mesh.
        opts: resource options of a child of the component.
    """
    certificate = Certificate(
        f"{cluster.name}-{component}-webhooks",
        trust.webhooks,
        f"{component}-webhooks.{namespace_name}.svc",
        hours=trust.lifetimes.webhooks,
        renew_before=trust.lifetimes.renew_before,
        dns_names=[f"{service}.{namespace_name}.svc" for service in services],
        opts=pulumi.ResourceOptions(parent=opts.parent),
    )
    secrets = [
        create_tls_secret(
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
    return WebhookCertificates(secrets=secrets, expiry=certificate.expiry)
