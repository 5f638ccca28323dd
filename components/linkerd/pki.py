"""What the clusters of a mesh trust: one trust anchor, and the certificates that are signed below it and beside it.

Follows https://linkerd.io/2.14/tasks/generate-certificates/ (names, ECDSA P-256, an issuer that is itself a CA) and
https://linkerd.io/2.14/tasks/automatically-rotating-webhook-tls-credentials/ (the webhooks' own CA).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from mesh.config.models.stack_file import LifetimesConfig
from mesh.config.models.stack_file import TrustConfig as TrustSettings

_CA_KEY_USAGES = ["cert_signing", "crl_signing"]
_SERVER_KEY_USAGES = ["digital_signature", "key_encipherment", "server_auth"]
_PEER_KEY_USAGES = [*_SERVER_KEY_USAGES, "client_auth"]


@dataclass(frozen=True, kw_only=True)
class CertificateAuthority:
    """Who signs: made by this program, or brought by the user."""

    certificate: pulumi.Output[str]  # PEM; of a trust anchor that is being rotated, several
    private_key: pulumi.Output[str] | None  # PEM, PKCS#8, secret; None: somebody else signs
    expires: pulumi.Output[str]  # RFC 3339


class GeneratedAuthority(pulumi.ComponentResource):
    """A self-signed certificate authority with a key of its own.

    Args:
        name: the resource name.
        common_name: the subject of its certificate.
        hours: its validity.
        opts: the usual resource options.
    """

    signer: CertificateAuthority

    def __init__(self, name: str, common_name: str, hours: int, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("multicluster-mesh:index:Authority", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        certificate = tls.SelfSignedCert(
            f"{name}-certificate",
            private_key_pem=key.private_key_pem_pkcs8,
            subject=tls.SelfSignedCertSubjectArgs(common_name=common_name),
            is_ca_certificate=True,
            allowed_uses=_CA_KEY_USAGES,
            validity_period_hours=hours,
            set_subject_key_id=True,
            # A new certificate would cut off all that the old one has signed; another setting is for the next one.
            opts=pulumi.ResourceOptions.merge(
                child, pulumi.ResourceOptions(ignore_changes=["subject", "validityPeriodHours"])
            ),
        )
        self.signer = CertificateAuthority(
            certificate=certificate.cert_pem,
            private_key=key.private_key_pem_pkcs8,
            expires=certificate.validity_end_time,
        )
        self.register_outputs({"certificate": certificate.cert_pem, "expires": certificate.validity_end_time})


class Certificate(pulumi.ComponentResource):
    """A certificate that an authority has signed, renewed by the first `up` in the last days of its validity.

    Args:
        name: the resource name.
        signer: who signs it.
        common_name: the subject.
        hours: its validity.
        renew_before: hours before its end from which on it is renewed.
        dns_names: the names that a server's certificate is for; without any, the certificate is an issuer's: a CA
            that signs the identities of a cluster's workloads.
        ip_addresses: the addresses that it is for beside them.
        client: whether it is also, or only, by which its holder is known to a server.
        opts: the usual resource options.
    """

    certificate: pulumi.Output[str]  # PEM
    private_key: pulumi.Output[str]  # PEM, PKCS#8, secret: SEC1 keys break Linkerd's policy controller
    expires: pulumi.Output[str]  # RFC 3339

    def __init__(
        self,
        name: str,
        signer: CertificateAuthority,
        common_name: str,
        *,
        hours: int,
        renew_before: int,
        dns_names: pulumi.Input[Sequence[str]] = (),
        ip_addresses: Sequence[str] = (),
        client: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("multicluster-mesh:index:Certificate", name, None, opts)
        assert signer.private_key is not None, "settings see to it that who signs has a key"
        child = pulumi.ResourceOptions(parent=self)
        issuer = dns_names == () and not client
        uses = _CA_KEY_USAGES if issuer else _PEER_KEY_USAGES if client else _SERVER_KEY_USAGES
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem_pkcs8,
            subject=tls.CertRequestSubjectArgs(common_name=common_name),
            dns_names=_none_if_empty(dns_names),
            ip_addresses=list(ip_addresses) or None,
            opts=child,
        )
        signed = tls.LocallySignedCert(
            f"{name}-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=signer.private_key,
            ca_cert_pem=signer.certificate,
            is_ca_certificate=issuer,
            set_subject_key_id=True,
            allowed_uses=uses,
            validity_period_hours=hours,
            early_renewal_hours=renew_before,
            opts=child,
        )
        self.certificate = signed.cert_pem
        self.private_key = key.private_key_pem_pkcs8
        self.expires = signed.validity_end_time
        self.register_outputs({"certificate": self.certificate, "expires": self.expires})


def _none_if_empty(names: pulumi.Input[Sequence[str]]) -> pulumi.Input[Sequence[pulumi.Input[str]]] | None:
    """Names as the provider wants them: none is no list."""
    if isinstance(names, pulumi.Output):
        return names.apply(list)
    assert isinstance(names, Sequence), "names that are awaited are never given"
    return list(names) or None


class Trust(pulumi.ComponentResource):
    """What every cluster of the mesh shares: the trust anchor, and the CA of the webhooks.

    The webhooks have a CA of their own, so that who holds a webhook's key holds nothing of the mesh's identity.

    Args:
        name: the resource name.
        settings: what the stack file says of trust.
        trust_domain: the mesh's.
        opts: the usual resource options.
    """

    settings: TrustSettings
    anchor: CertificateAuthority
    webhooks: CertificateAuthority

    def __init__(
        self, name: str, settings: TrustSettings, trust_domain: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("multicluster-mesh:index:Trust", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.settings = settings
        hours = settings.lifetimes.anchor
        if settings.anchor is None:
            self.anchor = GeneratedAuthority(f"{name}-anchor", f"root.linkerd.{trust_domain}", hours, child).signer
        else:
            self.anchor = _user_provided_ca(settings)
        self.webhooks = GeneratedAuthority(f"{name}-webhooks", f"webhooks.linkerd.{trust_domain}", hours, child).signer
        self.register_outputs({"anchor": self.anchor.certificate, "expires": self.anchor.expires})

    @property
    def lifetimes(self) -> LifetimesConfig:
        """Hours of validity of what is made."""
        return self.settings.lifetimes


def _user_provided_ca(settings: TrustSettings) -> CertificateAuthority:
    from mesh import certificate_validation

    assert settings.anchor is not None
    key = settings.anchor.key
    return CertificateAuthority(
        certificate=pulumi.Output.from_input(certificate_validation.normalize_certificate(settings.anchor.certificate)),
        private_key=pulumi.Output.secret(certificate_validation.to_pkcs8(key.get_secret_value()))
        if key is not None
        else None,
        expires=pulumi.Output.from_input(certificate_validation.expiry(settings.anchor.certificate)),
    )
