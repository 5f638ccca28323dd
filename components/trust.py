"""What the clusters of a mesh trust: one trust anchor, an issuer per cluster, and the certificates of webhooks.

Follows https://linkerd.io/2.14/tasks/generate-certificates/ (names, ECDSA P-256, an issuer that is itself a CA) and
https://linkerd.io/2.14/tasks/automatically-rotating-webhook-tls-credentials/ (the webhooks' own CA).
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_tls as tls

# Hours. The trust anchor and the webhooks' CA are replaced only on purpose, because everything that they have signed
# goes with them; what they sign is renewed by an ordinary `up` once its last days have begun.
AUTHORITY_VALIDITY = 10 * 8760
CERTIFICATE_VALIDITY = 8760
RENEWAL_BEFORE_EXPIRY = 60 * 24

_AUTHORITY_USES = ["cert_signing", "crl_signing"]
_SERVER_USES = ["digital_signature", "key_encipherment", "server_auth"]


class Authority(pulumi.ComponentResource):
    """A self-signed certificate authority with a key of its own.

    Args:
        name: the resource name.
        common_name: the subject of its certificate.
        opts: the usual resource options.
    """

    certificate: pulumi.Output[str]  # PEM
    private_key: pulumi.Output[str]  # PEM, PKCS#8, secret
    expires: pulumi.Output[str]  # RFC 3339

    def __init__(self, name: str, common_name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("multicluster-mesh:index:Authority", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        certificate = tls.SelfSignedCert(
            f"{name}-certificate",
            private_key_pem=key.private_key_pem_pkcs8,
            subject=tls.SelfSignedCertSubjectArgs(common_name=common_name),
            is_ca_certificate=True,
            allowed_uses=_AUTHORITY_USES,
            validity_period_hours=AUTHORITY_VALIDITY,
            set_subject_key_id=True,
            opts=child,
        )
        self.certificate = certificate.cert_pem
        self.private_key = key.private_key_pem_pkcs8
        self.expires = certificate.validity_end_time
        self.register_outputs({"certificate": self.certificate, "expires": self.expires})


class Certificate(pulumi.ComponentResource):
    """A certificate that an authority has signed, renewed by the first `up` in the last days of its validity.

    Args:
        name: the resource name.
        authority: who signs it.
        common_name: the subject.
        dns_names: the names that a server's certificate is for; without any, the certificate is an issuer's: a CA
            that signs the identities of a cluster's workloads.
        opts: the usual resource options.
    """

    certificate: pulumi.Output[str]  # PEM
    private_key: pulumi.Output[str]  # PEM, PKCS#8, secret: SEC1 keys break Linkerd's policy controller
    authority: pulumi.Output[str]  # PEM of who signed it
    expires: pulumi.Output[str]  # RFC 3339

    def __init__(
        self,
        name: str,
        authority: Authority,
        common_name: str,
        dns_names: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("multicluster-mesh:index:Certificate", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        issuer = not dns_names
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem_pkcs8,
            subject=tls.CertRequestSubjectArgs(common_name=common_name),
            dns_names=list(dns_names) or None,
            opts=child,
        )
        signed = tls.LocallySignedCert(
            f"{name}-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=authority.private_key,
            ca_cert_pem=authority.certificate,
            is_ca_certificate=issuer,
            set_subject_key_id=True,
            allowed_uses=_AUTHORITY_USES if issuer else _SERVER_USES,
            validity_period_hours=CERTIFICATE_VALIDITY,
            early_renewal_hours=RENEWAL_BEFORE_EXPIRY,
            opts=child,
        )
        self.certificate = signed.cert_pem
        self.private_key = key.private_key_pem_pkcs8
        self.authority = authority.certificate
        self.expires = signed.validity_end_time
        self.register_outputs({"certificate": self.certificate, "expires": self.expires})


class Trust(pulumi.ComponentResource):
    """What every cluster of the mesh shares: the trust anchor, and the CA of the webhooks.

    The webhooks have a CA of their own, so that who holds a webhook's key holds nothing of the mesh's identity.

    Args:
        name: the resource name.
        opts: the usual resource options.
    """

    anchor: Authority
    webhooks: Authority

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("multicluster-mesh:index:Trust", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.anchor = Authority(f"{name}-anchor", "root.linkerd.cluster.local", child)
        self.webhooks = Authority(f"{name}-webhooks", "webhooks.linkerd.cluster.local", child)
        self.register_outputs({"anchor": self.anchor.certificate, "expires": self.anchor.expires})
