"""Certificates of one cluster, arranged as by kubeadm.

https://kubernetes.io/docs/setup/best-practices/certificates/
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hack.lab.allocation import ClusterAllocation

_VALIDITY_YEARS = 10  # much longer than a lab exists
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, kw_only=True)
class Pki:
    """Paths of the keys and certificates of one cluster: `<name>.crt` and `<name>.key`."""

    folder: Path

    def certificate(self, name: str) -> Path:
        """Return the path of a certificate."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the path of a private key (PKCS#8)."""
        return self.folder / f"{name}.key"

    def public_key(self, name: str) -> Path:
        """Return the path of a public key that is in no certificate."""
        return self.folder / f"{name}.pub"


@dataclass(frozen=True, kw_only=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_pki(folder: Path, allocation: ClusterAllocation) -> Pki:
    """Create all keys and certificates of a cluster, unless they exist."""
    pki = Pki(folder=folder)
    complete = folder / "complete"
    if complete.exists():
        return pki
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    cluster = _create_authority(pki, "ca", allocation.name)
    front_proxy = _create_authority(pki, "front-proxy-ca", "front-proxy-ca")
    etcd = _create_authority(pki, "etcd-ca", "etcd-ca")
    egress = _create_authority(pki, "egress-ca", "egress-ca")
    loopback = ["127.0.0.1", "localhost"]
    api_server = [
        *loopback,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        allocation.first_service_ip,
        allocation.advertised_address,
    ]
    _create_leaf(pki, etcd, "etcd", "etcd", usages=[_SERVER, _CLIENT], names=loopback)
    _create_leaf(pki, etcd, "etcd-client", "kube-apiserver-etcd-client", usages=[_CLIENT])
    _create_leaf(pki, egress, "egress", "egress", usages=[_SERVER], names=loopback)
    _create_leaf(pki, egress, "egress-client", "kube-apiserver", usages=[_CLIENT])
    _create_leaf(pki, cluster, "apiserver", "kube-apiserver", usages=[_SERVER], names=api_server)
    _create_leaf(
        pki, cluster, "kubelet-client", "kube-apiserver-kubelet-client", usages=[_CLIENT], groups=["system:masters"]
    )
    _create_leaf(pki, cluster, "kubelet", "kubelet", usages=[_SERVER], names=[*loopback, *allocation.node_addresses])
    _create_leaf(pki, front_proxy, "front-proxy-client", "front-proxy-client", usages=[_CLIENT])
    _create_leaf(pki, cluster, "admin", "admin", usages=[_CLIENT], groups=["system:masters"])
    _create_leaf(pki, cluster, "lab", "lab", usages=[_CLIENT], groups=["system:masters"])
    for component in ("kube-controller-manager", "kube-scheduler"):
        _create_leaf(pki, cluster, component, f"system:{component}", usages=[_CLIENT])
    _create_key_pair(pki, "service-account")
    complete.touch()
    return pki


def _create_authority(pki: Pki, name: str, common_name: str) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(common_name)
    certificate = (
        _certificate_builder(subject, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(pki.key(name), key)
    _write(pki.certificate(name), certificate.public_bytes(serialization.Encoding.PEM))
    return _Authority(certificate=certificate, key=key)


def _create_leaf(
    pki: Pki,
    authority: _Authority,
    name: str,
    common_name: str,
    *,
    usages: Sequence[x509.ObjectIdentifier],
    names: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _certificate_builder(_subject(common_name, groups), authority.certificate.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.certificate.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
    certificate = builder.sign(authority.key, hashes.SHA256())
    _write_key(pki.key(name), key)
    _write(pki.certificate(name), certificate.public_bytes(serialization.Encoding.PEM))


def _create_key_pair(pki: Pki, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(pki.key(name), key)
    _write(
        pki.public_key(name),
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def _certificate_builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # An hour ago, because the clock of a verifier can be slow.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _VALIDITY_YEARS))
    )


def _subject(common_name: str, groups: Sequence[str] = ()) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    _write(
        path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        handle.write(content)
