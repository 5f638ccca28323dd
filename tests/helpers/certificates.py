"""Certificates for tests: made with their keys, not kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)

PEM = serialization.Encoding.PEM

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, kw_only=True)
class IssuedCertificate:
    """A certificate and its key, by default a CA's as Linkerd wants it; self-signed without a signer."""

    name: str = "root.linkerd.cluster.local"
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    signer: IssuedCertificate | None = None
    issuer_name: x509.Name | None = None  # None: the signer's, as this program writes it
    begin: datetime = NOW - DAY
    end: datetime = NOW + DAY
    ca: bool | None = True  # None: without basic constraints
    path_length: int | None = None
    cert_sign: bool | None = True  # None: without key usages
    purposes: tuple[x509.ObjectIdentifier, ...] = ()
    dns_name: str | None = None
    digest: hashes.SHA256 | hashes.SHA384 = field(default_factory=hashes.SHA256)
    pem: str = field(init=False)

    def __post_init__(self) -> None:
        signer = self.signer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject_name(self.name))
            .issuer_name(self.issuer_name or subject_name(signer.name))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.begin)
            .not_valid_after(self.end)
        )
        if self.ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(self.ca, self.path_length), critical=True)
        if self.cert_sign is not None:
            builder = builder.add_extension(_key_usage(self.cert_sign), critical=True)
        if self.purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.purposes), critical=False)
        if self.dns_name is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(self.dns_name)]), critical=False)
        certificate = builder.sign(signer.key, self.digest)
        object.__setattr__(self, "pem", certificate.public_bytes(PEM).decode())

    @property
    def private_key(self) -> str:
        return private_key_pem(self.key)


@cache
def generate_rsa_key(size: int) -> rsa.RSAPrivateKey:
    """The same one for all that ask: it takes long to make."""
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


def subject_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, cert_sign, cert_sign, False, False)


def private_key_pem(
    key: Key | ed25519.Ed25519PrivateKey,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    password: bytes | None = None,
) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, form, encryption).decode()


def pem_header(label: str) -> str:
    """The line with which a block of PEM begins; put together, so that no file looks as if it had a key in it."""
    return f"-----BEGIN {label}-----"
