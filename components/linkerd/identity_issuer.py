"""The issuer of one cluster: the CA that signs the identities of its workloads, as Linkerd finds it in a Secret.

It is made by this program, brought by the user, or renewed by cert-manager. Follows
https://linkerd.io/2.14/tasks/generate-certificates/ and
https://linkerd.io/2.14/tasks/automatically-rotating-control-plane-tls-credentials/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from components.cluster import Cluster
from components.linkerd.pki import Certificate, Trust
from components.sdk.kubernetes_object import KubernetesObject
from components.sdk.secrets import tls_secret
from mesh.config.models.stack_file import CertManagerConfig

ISSUER_SECRET = "linkerd-identity-issuer"
# What cert-manager signs with, where this program hands it the trust anchor.
ANCHOR_SECRET = "linkerd-trust-anchor"


@dataclass(frozen=True, kw_only=True)
class IdentityIssuer:
    """A cluster's issuer."""

    expires: pulumi.Output[str]  # RFC 3339, or who renews it
    ready: list[pulumi.Resource]  # what must be there before the control plane


def identity_issuer(
    cluster: Cluster, namespace: pulumi.Input[str], trust: Trust, opts: pulumi.ResourceOptions
) -> IdentityIssuer:
    """The issuer of one cluster, in the Secret `linkerd-identity-issuer`.

    Args:
        cluster: where it goes.
        namespace: the control plane's.
        trust: who signs, and in which way issuers are had.
        opts: the resource options of a child of Linkerd on that cluster.
    """
    manager = trust.settings.cert_manager
    if manager is not None:
        return _cert_manager_issuer(cluster, namespace, trust, manager, opts)
    given = trust.settings.issuers.get(cluster.name)
    if given is not None:
        from mesh import certificate_validation

        certificate: pulumi.Input[str] = certificate_validation.normalize_certificate(given.certificate)
        key: pulumi.Input[str] = pulumi.Output.secret(certificate_validation.to_pkcs8(given.key.get_secret_value()))
        expires = pulumi.Output.from_input(certificate_validation.expiry(given.certificate))
    else:
        made = Certificate(
            f"{cluster.name}-issuer",
            trust.anchor,
            cluster.settings.identity,
            hours=trust.lifetimes.issuer,
            renew_before=trust.lifetimes.renew_before,
            opts=pulumi.ResourceOptions(parent=opts.parent),
        )
        certificate, key, expires = made.certificate, made.private_key, made.expires
    secret = tls_secret(
        f"{cluster.name}-linkerd-issuer-secret",
        cluster,
        namespace,
        ISSUER_SECRET,
        certificate=certificate,
        private_key=key,
        authority=trust.anchor.certificate,
        opts=opts,
    )
    return IdentityIssuer(expires=expires, ready=[secret])


def certificate_spec(identity: str, manager: CertManagerConfig) -> dict[str, Any]:
    """The spec of cert-manager's Certificate for an issuer.

    Args:
        identity: its common name.
        manager: lifetimes, and who signs.
    """
    signer = manager.issuer_ref
    return {
        "secretName": ISSUER_SECRET,
        "duration": f"{manager.duration}h0m0s",
        "renewBefore": f"{manager.renew_before}h0m0s",
        "issuerRef": signer.model_dump() if signer is not None else {"name": ANCHOR_SECRET, "kind": "Issuer"},
        "commonName": identity,
        "dnsNames": [identity],
        "isCA": True,
        "privateKey": {"algorithm": "ECDSA", "size": 256},
        "usages": ["cert sign", "crl sign", "server auth", "client auth"],
    }


def _cert_manager_issuer(
    cluster: Cluster,
    namespace: pulumi.Input[str],
    trust: Trust,
    manager: CertManagerConfig,
    opts: pulumi.ResourceOptions,
) -> IdentityIssuer:
    name = f"{cluster.name}-linkerd"
    before: list[pulumi.Resource] = []
    if manager.issuer_ref is None:
        assert trust.anchor.private_key is not None, "settings see to it that somebody can sign"
        secret = tls_secret(
            f"{name}-anchor-secret",
            cluster,
            namespace,
            ANCHOR_SECRET,
            certificate=trust.anchor.certificate,
            private_key=trust.anchor.private_key,
            opts=opts,
        )
        before.append(
            KubernetesObject(
                f"{name}-anchor-issuer",
                api_version="cert-manager.io/v1",
                kind="Issuer",
                metadata=cluster.metadata(ANCHOR_SECRET, namespace=namespace),
                spec={"ca": {"secretName": secret.name}},
                opts=opts,
            )
        )
    certificate = KubernetesObject(
        f"{name}-issuer-certificate",
        api_version="cert-manager.io/v1",
        kind="Certificate",
        # Without the issuer's Secret the control plane would not start, and Helm would not say why.
        metadata=cluster.metadata(
            ISSUER_SECRET, namespace=namespace, annotations={"pulumi.com/waitFor": "condition=Ready"}
        ),
        spec=certificate_spec(cluster.settings.identity, manager),
        # It names its Issuer, which must not go before it.
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(depends_on=before, custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m")),
        ),
    )
    return IdentityIssuer(expires=pulumi.Output.from_input("renewed by cert-manager"), ready=[certificate])
