"""PKI of the mesh: certificate authorities, and the certificates that they sign.

Follows https://linkerd.io/2.14/tasks/generate-certificates/ (names, ECDSA P-256, an issuer that is itself a CA) and
https://linkerd.io/2.14/tasks/automatically-rotating-webhook-tls-credentials/ (the webhooks' own CA).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from mesh.config.models.trust import LifetimesConfig, TrustConfig

_CA_KEY_USAGES = ["cert_signing", "crl_signing"]
_SERVER_KEY_USAGES = ["digital_signature", "key_encipherment", "server_auth"]
_PEER_KEY_USAGES = [*_SERVER_KEY_USAGES, "client_auth"]


@dataclass(frozen=True, kw_only=True)
class CertificateAuthority:
    """A certificate authority that this program generates or the user provides."""

    certificate: pulumi.Output[str]  # PEM; several certificates while a trust anchor is rotated
    private_key: pulumi.Output[str] | None  # PEM, PKCS#8, secret; None if another program signs
    expiry: pulumi.Output[str]  # RFC 3339


class GeneratedAuthority(pulumi.ComponentResource):
    """A self-signed certificate authority.

    Args:
        name: name of the Pulumi resource.
        common_name: subject of the certificate.
        hours: validity in hours.
        opts: resource options.
    """

    ca: CertificateAuthority

    def __init__(self, name: str, common_name: str, hours: int, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("multicluster-mesh:index:Authority", name, None, opts)
        child_options = pulumi.ResourceOptions(parent=self)
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=child_options)
        certificate = tls.SelfSignedCert(
            f"{name}-certificate",
            private_key_pem=key.private_key_pem_pkcs8,
            subject=tls.SelfSignedCertSubjectArgs(common_name=common_name),
            is_ca_certificate=True,
            allowed_uses=_CA_KEY_USAGES,
            validity_period_hours=hours,
            set_subject_key_id=True,
            # A new CA would invalidate all certificates of the old one, so changed settings apply only to the next CA.
            opts=pulumi.ResourceOptions.merge(
                child_options, pulumi.ResourceOptions(ignore_changes=["subject", "validityPeriodHours"])
            ),
        )
        self.ca = CertificateAuthority(
            certificate=certificate.cert_pem,
            private_key=key.private_key_pem_pkcs8,
            expiry=certificate.validity_end_time,
        )
        self.register_outputs({"certificate": certificate.cert_pem, "expires": certificate.validity_end_time})


class Certificate(pulumi.ComponentResource):
    """A certificate signed by an authority; the first `up` within `renew_before` hours of its expiry renews it.

    Without DNS names and without client authentication, the certificate is an issuer: a CA that signs the identities of
    a cluster's workloads.

    Args:
        name: name of the Pulumi resource.
        ca: signing authority.
        common_name: subject of the certificate.
        hours: validity in hours.
        renew_before: hours before the expiry.
        dns_names: DNS names of a server.
        ip_addresses: IP addresses of a server.
        is_client: whether the certificate also authenticates a client.
        opts: resource options.
    """

    certificate: pulumi.Output[str]  # PEM
    private_key: pulumi.Output[str]  # PEM, PKCS#8, secret: SEC1 keys break Linkerd's policy controller
    expiry: pulumi.Output[str]  # RFC 3339

    def __init__(
        self,
        name: str,
        ca: CertificateAuthority,
        common_name: str,
        *,
        hours: int,
        renew_before: int,
        dns_names: pulumi.Input[Sequence[str]] = (),
        ip_addresses: Sequence[str] = (),
        is_client: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("multicluster-mesh:index:Certificate", name, None, opts)
        assert ca.private_key is not None, "mesh.config requires a key for each CA that signs"
        child_options = pulumi.ResourceOptions(parent=self)
        is_issuer = dns_names == () and not is_client
        key_usages = _CA_KEY_USAGES if is_issuer else _PEER_KEY_USAGES if is_client else _SERVER_KEY_USAGES
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=child_options)
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem_pkcs8,
            subject=tls.CertRequestSubjectArgs(common_name=common_name),
            dns_names=_none_if_empty(dns_names),
            ip_addresses=list(ip_addresses) or None,
            opts=child_options,
        )
        signed = tls.LocallySignedCert(
            f"{name}-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=ca.private_key,
            ca_cert_pem=ca.certificate,
            is_ca_certificate=is_issuer,
            set_subject_key_id=True,
            allowed_uses=key_usages,
            validity_period_hours=hours,
            early_renewal_hours=renew_before,
            opts=child_options,
        )
        self.certificate = signed.cert_pem
        self.private_key = key.private_key_pem_pkcs8
        self.expiry = signed.validity_end_time
        self.register_outputs({"certificate": self.certificate, "expires": self.expiry})


def _none_if_empty(names: pulumi.Input[Sequence[str]]) -> pulumi.Input[Sequence[pulumi.Input[str]]] | None:
    """Return the names for the provider: None instead of an empty list."""
    if isinstance(names, pulumi.Output):
        return names.apply(list)
    assert isinstance(names, Sequence), "DNS names are a sequence or an output"
    return list(names) or None


class Trust(pulumi.ComponentResource):
    """Trust anchor of the mesh, and CA of the webhooks.

    The webhooks have a separate CA, so that a leaked webhook key does not compromise the mesh's identities.

    Args:
        name: name of the Pulumi resource.
        settings: settings of the trust anchor and the issuers.
        trust_domain: trust domain of the mesh.
        opts: resource options.
    """

    settings: TrustConfig
    anchor: CertificateAuthority
    webhooks: CertificateAuthority

    def __init__(
        self, name: str, settings: TrustConfig, trust_domain: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("multicluster-mesh:index:Trust", name, None, opts)
        child_options = pulumi.ResourceOptions(parent=self)
        self.settings = settings
        hours = settings.lifetimes.anchor
        if settings.anchor is None:
            self.anchor = GeneratedAuthority(f"{name}-anchor", f"root.linkerd.{trust_domain}", hours, child_options).ca
        else:
            self.anchor = _user_provided_ca(settings)
        self.webhooks = GeneratedAuthority(
            f"{name}-webhooks", f"webhooks.linkerd.{trust_domain}", hours, child_options
        ).ca
        self.register_outputs({"anchor": self.anchor.certificate, "expires": self.anchor.expiry})

    @property
    def lifetimes(self) -> LifetimesConfig:
        """Return the lifetimes of generated certificates, in hours."""
        return self.settings.lifetimes


def _user_provided_ca(settings: TrustConfig) -> CertificateAuthority:
    from mesh import certificate_validation

    assert settings.anchor is not None
    key = settings.anchor.key
    return CertificateAuthority(
        certificate=pulumi.Output.from_input(certificate_validation.normalize_certificate(settings.anchor.certificate)),
        private_key=pulumi.Output.secret(certificate_validation.to_pkcs8(key.get_secret_value()))
        if key is not None
        else None,
        expiry=pulumi.Output.from_input(certificate_validation.earliest_expiry(settings.anchor.certificate)),
    )
