"""Validation of a user's certificates and keys against Linkerd's requirements.

Linkerd checks certificates during the installation, in its identity service, in `linkerd check` and in each proxy. The
checks here report in advance whatever one of those would reject. No message contains a part of a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

_Certificates = list[x509.Certificate]
_Read = TypeVar("_Read")
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

# A PEM block as Go reads it: header and footer are whole lines.
_PEM_BLOCK = re.compile(
    r"^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)^-----END \1-----[ \t]*\r?$", re.DOTALL | re.MULTILINE
)

# Limits of the search: for each block without a footer, the search continues to the end of the text.
_MAX_TEXT_LENGTH = 2**20
_MAX_BLOCKS = 100

_SHA256_ALGORITHMS = {SignatureAlgorithmOID.ECDSA_WITH_SHA256, SignatureAlgorithmOID.RSA_WITH_SHA256}
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
# Sufficient sets of extended key usages, if a certificate has any. Proxies do not check the usages of the anchor, and
# accept no wildcard among those of issuers.
_ANCHOR_PURPOSES = ({_SERVER}, {ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_ISSUER_PURPOSES = ({_SERVER, _CLIENT},)
_DECODING_ERRORS = (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_COPY_AGAIN_REMEDY = "copy the text again from its source, or create another"


@dataclass(frozen=True, kw_only=True)
class CertificateFinding:
    """A violated requirement."""

    rule: str
    remedy: str


class _UnreadableError(ValueError):
    """Text without a readable certificate or key."""

    def __init__(self, rule: str, remedy: str) -> None:
        self.finding = CertificateFinding(rule=rule, remedy=remedy)
        super().__init__(f"{rule}; {remedy}")


def check_anchor(certificate: str, *, now: datetime) -> list[CertificateFinding]:
    """Return the findings for one or more trust anchors; during a rotation there are two.

    Args:
        certificate: PEM.
        now: the current time, with a time zone.
    """
    anchors, findings = _try_read(_parse_certificates, certificate)
    for number, anchor in enumerate(anchors or [], start=1):
        subject = f"anchor {number}" if anchors and len(anchors) > 1 else "the anchor"
        findings += _check_authority(anchor, subject, now, _ANCHOR_PURPOSES)
        findings += _check_algorithms(anchor, subject, allow_rsa=True)
    return findings


def check_anchor_key(certificate: str, key: str) -> list[CertificateFinding]:
    """Return the findings for the private key of the first trust anchor, which signs the issuers.

    An unreadable certificate yields no finding here, because `check_anchor` reports it.
    """
    private_key, findings = _try_read(_parse_private_key, key)
    anchors, _ = _try_read(_parse_certificates, certificate)
    if private_key and anchors:
        findings += _check_key_match(private_key, anchors[0], "the anchor")
        findings += _check_path_length(anchors[0], "the anchor", below=1)
    return findings


def check_issuer(
    certificate: str, key: str, *, anchor: str, common_name: str | None = None, now: datetime
) -> list[CertificateFinding]:
    """Return the findings for a cluster's issuer.

    Args:
        certificate: PEM of the issuer, followed by the intermediate certificates up to the anchor.
        key: private key of the issuer.
        anchor: PEM of one or more trust anchors. An unreadable anchor yields no finding here.
        common_name: required name of the issuer; None for any name, because Linkerd checks none.
        now: the current time, with a time zone.
    """
    private_key, key_findings = _try_read(_parse_private_key, key)
    certificates, findings = _try_read(_parse_certificates, certificate)
    if not certificates:
        return findings + key_findings
    issuer, *intermediates = certificates
    findings += _check_authority(issuer, "the issuer", now, _ISSUER_PURPOSES)
    findings += _check_algorithms(issuer, "the issuer", allow_rsa=False)
    has_other_name = common_name is not None and common_name not in _read_names(issuer)
    rule, remedy = f"the issuer's name is not {common_name}", "create a certificate with that common name"
    findings += _collect_findings((has_other_name, rule, remedy))
    findings += key_findings
    if private_key:
        findings += _check_key_match(private_key, issuer, "the issuer")
    for number, intermediate in enumerate(intermediates, start=1):
        findings += _check_authority(intermediate, f"intermediate {number}", now, _ISSUER_PURPOSES)
    anchors, _ = _try_read(_parse_certificates, anchor)
    if anchors:
        findings += _check_chain(issuer, intermediates, anchors)
    return findings


def check_readable(certificates: str) -> list[CertificateFinding]:
    """Return the findings for certificates that only have to be readable, such as the CA of an API server."""
    return _try_read(_parse_certificates, certificates)[1]


def to_pkcs8(key: str) -> str:
    """Return a private key as unencrypted PKCS#8, because parts of Linkerd do not read older encodings.

    Raises:
        ValueError: the text contains no readable private key.
    """
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return _parse_private_key(key).private_bytes(encoding, form, serialization.NoEncryption()).decode()


def normalize_certificate(certificate: str) -> str:
    """Return only the certificates of a text, in their order. Linkerd rejects even an empty line after the last one.

    Raises:
        ValueError: the text contains no readable certificates.
    """
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in _parse_certificates(certificate))


def earliest_expiry(certificate: str) -> str:
    """Return the earliest expiry of several certificates, as an RFC 3339 time in UTC.

    Raises:
        ValueError: the text contains no readable certificates.
    """
    return _format_time(min(each.not_valid_after_utc for each in _parse_certificates(certificate)))


def _try_read(read: Callable[[str], _Read], text: str) -> tuple[_Read | None, list[CertificateFinding]]:
    try:
        return read(text), []
    except _UnreadableError as error:
        return None, [error.finding]


def _parse_certificates(text: str) -> _Certificates:
    """Return one or more certificates; text around the PEM blocks is ignored."""
    blocks = _pem_blocks(text)
    others = [block[1] for block in blocks if block[1] != "CERTIFICATE"]
    if others:
        raise _UnreadableError(f"contains {_describe_label(others[0])}", "remove everything except certificates")
    if not blocks or text.count("-----BEGIN ") != len(blocks):
        content = "an incomplete certificate" if "-----BEGIN " in text else "no certificate"
        remedy = "use whole PEM blocks, from the line -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
        raise _UnreadableError(f"contains {content}", remedy)
    return [_parse_certificate(block[0], number) for number, block in enumerate(blocks, start=1)]


def _pem_blocks(text: str) -> list[re.Match[str]]:
    """Return the PEM blocks of a text of limited size."""
    if len(text) > _MAX_TEXT_LENGTH or text.count("-----BEGIN ") > _MAX_BLOCKS:
        rule = f"contains more than {_MAX_TEXT_LENGTH} characters or {_MAX_BLOCKS} PEM blocks"
        raise _UnreadableError(rule, "remove the PEM blocks that are not needed")
    return list(_PEM_BLOCK.finditer(text))


def _parse_certificate(block: str, number: int) -> x509.Certificate:
    """Return a certificate with all parts decoded; `cryptography` itself decodes each part on first access."""
    try:
        certificate = x509.load_pem_x509_certificate(block.encode())
        certificate.public_key()
        _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.signature_algorithm_oid)
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except (ValueError, TypeError, UnsupportedAlgorithm, *_DECODING_ERRORS):
        raise _UnreadableError(f"certificate {number} cannot be decoded", _COPY_AGAIN_REMEDY) from None
    return certificate


def _parse_private_key(text: str) -> PrivateKeyTypes:
    blocks = _pem_blocks(text)
    keys = [block[0] for block in blocks if block[1].endswith("PRIVATE KEY")]
    if len(keys) != 1:
        rule = f"contains {len(keys)} private keys" if keys else "contains no private key"
        other = f", but {_describe_label(blocks[0][1])}" if blocks and not keys else ""
        raise _UnreadableError(rule + other, "use one private key, as a whole PEM block")
    try:
        return serialization.load_pem_private_key(keys[0].encode(), password=None)
    except TypeError:
        raise _UnreadableError("the key is encrypted", "decrypt it with `openssl pkey -in <file>`") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _UnreadableError("the key cannot be decoded", _COPY_AGAIN_REMEDY) from None


def _describe_label(label: str) -> str:
    """Return the kind of a PEM block with a given label."""
    kinds = ("private key", "public key", "certificate request", "certificate")
    return next((f"a {kind}" for kind in kinds if label.endswith(kind.upper())), "another kind of PEM block")


def _collect_findings(*checks: tuple[bool, str, str]) -> list[CertificateFinding]:
    """Return a finding for each violated requirement, given as (is violated, rule, remedy)."""
    return [CertificateFinding(rule=rule, remedy=remedy) for is_violated, rule, remedy in checks if is_violated]


def _check_authority(
    certificate: x509.Certificate, subject: str, now: datetime, sufficient: Iterable[set[x509.ObjectIdentifier]]
) -> list[CertificateFinding]:
    constraints, usage = (
        _read_extension(certificate, x509.BasicConstraints),
        _read_extension(certificate, x509.KeyUsage),
    )
    is_ca = constraints is not None and constraints.ca
    can_sign = usage is None or usage.key_cert_sign
    purposes = set(_read_extension(certificate, x509.ExtendedKeyUsage) or ())
    is_limited = bool(purposes) and not any(each <= purposes for each in sufficient)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    purposes_remedy = "create a certificate with the extended key usages serverAuth and clientAuth, or without any"
    return _collect_findings(
        (not is_ca, f"{subject} is not a CA", "create a certificate with the basic constraint CA:TRUE"),
        (not can_sign, f"{subject} may not sign certificates", "create a certificate with the key usage keyCertSign"),
        (is_limited, f"{subject} may not sign the certificates of servers and clients", purposes_remedy),
        (
            now < begin,
            f"{subject} is not valid before {_format_time(begin)}",
            "wait until then, or correct the clock of this machine",
        ),
        (now > end, f"{subject} expired on {_format_time(end)}", "renew the certificate"),
    )


def _check_algorithms(certificate: x509.Certificate, subject: str, *, allow_rsa: bool) -> list[CertificateFinding]:
    key, signature = certificate.public_key(), certificate.signature_algorithm_oid
    is_rsa = allow_rsa and isinstance(key, rsa.RSAPublicKey) and key.key_size in (2048, 4096)
    is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    is_sha256 = signature == SignatureAlgorithmOID.RSA_WITH_SHA256 if is_rsa else signature in _SHA256_ALGORITHMS
    keys = "an ECDSA P-256 key" + (", or RSA with 2048 or 4096 bits" if allow_rsa else "")
    signer = "an RSA key" if is_rsa else "an ECDSA or RSA key"
    return _collect_findings(
        (
            not (is_p256 or is_rsa),
            f"{subject} has a key type that Linkerd does not support",
            f"create a certificate with {keys}",
        ),
        (
            not is_sha256,
            f"{subject} has a signature algorithm that Linkerd does not support",
            f"sign the certificate with {signer} and SHA-256",
        ),
    )


def _check_key_match(key: PrivateKeyTypes, certificate: x509.Certificate, subject: str) -> list[CertificateFinding]:
    is_other_key = key.public_key() != certificate.public_key()
    remedy = "use a certificate and its own private key"
    return _collect_findings((is_other_key, f"the key does not belong to the certificate of {subject}", remedy))


def _check_chain(
    issuer: x509.Certificate, intermediates: _Certificates, anchors: _Certificates
) -> list[CertificateFinding]:
    signers = _find_signers(issuer, intermediates, anchors, set())
    remedy = "sign the issuer with the anchor, or append the intermediate certificates"
    findings = _collect_findings((signers is None, "the anchor has not signed the issuer", remedy))
    for below, signer in enumerate(signers or [], start=1):
        subject = "the anchor" if signer in anchors else f"intermediate {intermediates.index(signer) + 1}"
        findings += _check_path_length(signer, subject, below=below)
    return findings


def _find_signers(
    certificate: x509.Certificate, intermediates: _Certificates, anchors: _Certificates, visited: set[x509.Certificate]
) -> _Certificates | None:
    """Return the chain of signers from a certificate up to an anchor, or None without such a chain."""
    if certificate in anchors:
        return []
    visited.add(certificate)
    for signer in [*anchors, *intermediates]:
        if signer not in visited and _is_signed_by(certificate, signer):
            signers = _find_signers(signer, intermediates, anchors, visited)
            if signers is not None:
                return [signer, *signers]
    return None


def _is_signed_by(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(signer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _check_path_length(certificate: x509.Certificate, subject: str, *, below: int) -> list[CertificateFinding]:
    constraints = _read_extension(certificate, x509.BasicConstraints)
    length = constraints.path_length if constraints else None
    is_too_short = length is not None and length < below
    rule = f"{subject} has the path length {length}, and {below} CA{'s' if below > 1 else ''} below it"
    return _collect_findings(
        (is_too_short, rule, f"create a certificate with a path length of {below} or more, or without one")
    )


def _read_names(certificate: x509.Certificate) -> set[str | bytes]:
    alternatives = _read_extension(certificate, x509.SubjectAlternativeName)
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    dns_names = alternatives.get_values_for_type(x509.DNSName) if alternatives else []
    return {name.value for name in common_names} | set(dns_names)


def _read_extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _format_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
