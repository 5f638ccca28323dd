"""Certificates that a user brings: are they what Linkerd can use?

Linkerd looks at them when it is installed, when its identity service starts, in `linkerd check`, and in every proxy;
what any of these refuses is found here beforehand. No message has anything of a key in it.
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

# A block of PEM, as Go reads it: each of its two marks is a line.
_BLOCK = re.compile(
    r"^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)^-----END \1-----[ \t]*\r?$", re.DOTALL | re.MULTILINE
)

# Beyond these it is something else; each block that has no end is looked for to the end of the text.
_LONGEST, _MOST = 2**20, 100

_SHA256 = {SignatureAlgorithmOID.ECDSA_WITH_SHA256, SignatureAlgorithmOID.RSA_WITH_SHA256}
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
# Which extended key usages are enough, if there are any: the proxies never see the anchor's, and know no wildcard.
_ANCHOR_PURPOSES = ({_SERVER}, {ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_SIGNER_PURPOSES = ({_SERVER, _CLIENT},)
_MALFORMED = (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_MAKE_ANOTHER = "copy it again from its source, or make another"


@dataclass(frozen=True, kw_only=True)
class CertificateFinding:
    """One thing that is not as it must be."""

    rule: str
    remedy: str


class _UnreadableError(ValueError):
    def __init__(self, rule: str, remedy: str) -> None:
        self.finding = CertificateFinding(rule=rule, remedy=remedy)
        super().__init__(f"{rule}; {remedy}")


def anchor_findings(certificate: str, *, now: datetime) -> list[CertificateFinding]:
    """What is wrong with the trust anchor, or with any of several: a rotation has the old one beside the new one."""
    anchors, findings = _try_read(_parse_certificates, certificate)
    for number, anchor in enumerate(anchors or [], start=1):
        who = f"anchor {number}" if anchors and len(anchors) > 1 else "the anchor"
        findings += _authority(anchor, who, now, _ANCHOR_PURPOSES)
        findings += _algorithm(anchor, who, rsa_too=True)
    return findings


def anchor_key_findings(certificate: str, key: str) -> list[CertificateFinding]:
    """What is wrong with the key of the first trust anchor, with which issuers are to be signed."""
    private_key, findings = _try_read(_parse_private_key, key)
    anchors, _ = _try_read(_parse_certificates, certificate)
    if private_key and anchors:
        findings += _match(private_key, anchors[0], "the anchor") + _path_length(anchors[0], "the anchor", below=1)
    return findings


def issuer_findings(
    certificate: str, key: str, *, anchor: str, common_name: str | None = None, now: datetime
) -> list[CertificateFinding]:
    """What is wrong with a cluster's issuer.

    Args:
        certificate: the issuer's certificate, then any intermediates between it and the anchor.
        key: the issuer's key.
        anchor: the trust anchor, or several; whether they can be read is for `anchor_findings` to say.
        common_name: the name that the issuer must have; None for any, because Linkerd looks at none.
        now: when it has to be valid; with a time zone.
    """
    private_key, key_findings = _try_read(_parse_private_key, key)
    found, findings = _try_read(_parse_certificates, certificate)
    if not found:
        return findings + key_findings
    issuer, *intermediates = found
    findings += _authority(issuer, "the issuer", now, _SIGNER_PURPOSES)
    findings += _algorithm(issuer, "the issuer", rsa_too=False)
    misnamed = common_name is not None and common_name not in _names(issuer)
    findings += _findings((misnamed, f"the issuer's name isn't {common_name}", "make it with that common name"))
    findings += key_findings
    if private_key:
        findings += _match(private_key, issuer, "the issuer")
    for number, intermediate in enumerate(intermediates, start=1):
        findings += _authority(intermediate, f"intermediate {number}", now, _SIGNER_PURPOSES)
    anchors, _ = _try_read(_parse_certificates, anchor)
    if anchors:
        findings += _chain(issuer, intermediates, anchors)
    return findings


def to_pkcs8(key: str) -> str:
    """The same private key as unencrypted PKCS#8: not every part of Linkerd reads the older forms.

    Raises:
        ValueError: there is no such key in the text.
    """
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return _parse_private_key(key).private_bytes(encoding, form, serialization.NoEncryption()).decode()


def normalize_certificate(certificate: str) -> str:
    """The certificates alone, in their order: Linkerd refuses so much as an empty line after the last one.

    Raises:
        ValueError: the text isn't certificates.
    """
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in _parse_certificates(certificate))


def expiry(certificate: str) -> str:
    """When the first of the certificates expires, as RFC 3339 has it, in UTC.

    Raises:
        ValueError: the text isn't certificates.
    """
    return _time(min(each.not_valid_after_utc for each in _parse_certificates(certificate)))


def _try_read(read: Callable[[str], _Read], text: str) -> tuple[_Read | None, list[CertificateFinding]]:
    try:
        return read(text), []
    except _UnreadableError as error:
        return None, [error.finding]


def _parse_certificates(text: str) -> _Certificates:
    """At least one; comments around them don't matter."""
    blocks = _pem_blocks(text)
    others = [block[1] for block in blocks if block[1] != "CERTIFICATE"]
    if others:
        raise _UnreadableError(f"it has {_content(others[0])} in it", "give certificates there, and nothing else")
    if not blocks or text.count("-----BEGIN ") != len(blocks):
        part = "a part of a certificate" if "-----BEGIN " in text else "no certificate"
        remedy = "give whole PEM blocks, from the line -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
        raise _UnreadableError(f"there is {part} in it", remedy)
    return [_parse_certificate(block[0], number) for number, block in enumerate(blocks, start=1)]


def _pem_blocks(text: str) -> list[re.Match[str]]:
    """The blocks of PEM in a text of which somebody could have made that many."""
    if len(text) > _LONGEST or text.count("-----BEGIN ") > _MOST:
        rule = f"there are more than {_LONGEST} characters or {_MOST} PEM blocks in it"
        raise _UnreadableError(rule, "give those that are needed, and nothing else")
    return list(_BLOCK.finditer(text))


def _parse_certificate(block: str, number: int) -> x509.Certificate:
    """One certificate that has been decoded to the end: cryptography itself waits until a part is asked for."""
    try:
        certificate = x509.load_pem_x509_certificate(block.encode())
        certificate.public_key()
        _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.signature_algorithm_oid)
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except (ValueError, TypeError, UnsupportedAlgorithm, *_MALFORMED):
        raise _UnreadableError(f"certificate {number} in it can't be read", _MAKE_ANOTHER) from None
    return certificate


def _parse_private_key(text: str) -> PrivateKeyTypes:
    blocks = _pem_blocks(text)
    keys = [block[0] for block in blocks if block[1].endswith("PRIVATE KEY")]
    if len(keys) != 1:
        found = f"there are {len(keys)} private keys in it" if keys else "there is no private key in it"
        other = f", but {_content(blocks[0][1])}" if blocks and not keys else ""
        raise _UnreadableError(found + other, "give the one key, as a whole PEM block")
    try:
        return serialization.load_pem_private_key(keys[0].encode(), password=None)
    except TypeError:
        raise _UnreadableError("the key is encrypted", "decrypt it first: openssl pkey -in <file>") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _UnreadableError("the key can't be read", _MAKE_ANOTHER) from None


def _content(label: str) -> str:
    """What a PEM block with this label is."""
    kinds = ("private key", "public key", "certificate request", "certificate")
    return next((f"a {kind}" for kind in kinds if label.endswith(kind.upper())), "another kind of PEM block")


def _findings(*checks: tuple[bool, str, str]) -> list[CertificateFinding]:
    """The rules and remedies of those checks that are true."""
    return [CertificateFinding(rule=rule, remedy=remedy) for wrong, rule, remedy in checks if wrong]


def _authority(
    certificate: x509.Certificate, who: str, now: datetime, enough: Iterable[set[x509.ObjectIdentifier]]
) -> list[CertificateFinding]:
    constraints, usage = _extension(certificate, x509.BasicConstraints), _extension(certificate, x509.KeyUsage)
    ca, signs = constraints is not None and constraints.ca, usage is None or usage.key_cert_sign
    purposes = set(_extension(certificate, x509.ExtendedKeyUsage) or ())
    unfit = bool(purposes) and not any(each <= purposes for each in enough)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    both = "make it with serverAuth and clientAuth among its extended key usages, or without any"
    return _findings(
        (not ca, f"{who} isn't a CA", "make it with the basic constraint CA:TRUE"),
        (not signs, f"{who} may not sign certificates", "make it with keyCertSign among its key usages"),
        (unfit, f"{who} may not sign the certificates of servers and clients", both),
        (now < begin, f"{who} isn't valid before {_time(begin)}", "wait until then, or set this machine's clock"),
        (now > end, f"{who} expired on {_time(end)}", "renew it"),
    )


def _algorithm(certificate: x509.Certificate, who: str, *, rsa_too: bool) -> list[CertificateFinding]:
    key, signature = certificate.public_key(), certificate.signature_algorithm_oid
    by_rsa = rsa_too and isinstance(key, rsa.RSAPublicKey) and key.key_size in (2048, 4096)
    p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    signed = signature == SignatureAlgorithmOID.RSA_WITH_SHA256 if by_rsa else signature in _SHA256
    keys = "an ECDSA P-256 key" + (", or RSA with 2048 or 4096 bits" if rsa_too else "")
    signer = "an RSA key" if by_rsa else "an ECDSA or RSA key"
    return _findings(
        (not (p256 or by_rsa), f"{who} has a kind of key that Linkerd doesn't take", f"make it with {keys}"),
        (not signed, f"{who} has a signature that Linkerd doesn't take", f"sign it with {signer} and SHA-256"),
    )


def _match(key: PrivateKeyTypes, certificate: x509.Certificate, who: str) -> list[CertificateFinding]:
    wrong = key.public_key() != certificate.public_key()
    return _findings((wrong, f"the key belongs to another certificate than {who}'s", "give the two that are a pair"))


def _chain(issuer: x509.Certificate, intermediates: _Certificates, anchors: _Certificates) -> list[CertificateFinding]:
    signers = _signers(issuer, intermediates, anchors, set())
    remedy = "let the anchor sign it, or append the intermediates between the two"
    findings = _findings((signers is None, "the anchor hasn't signed the issuer", remedy))
    for below, signer in enumerate(signers or [], start=1):
        who = "the anchor" if signer in anchors else f"intermediate {intermediates.index(signer) + 1}"
        findings += _path_length(signer, who, below=below)
    return findings


def _signers(
    certificate: x509.Certificate, intermediates: _Certificates, anchors: _Certificates, seen: set[x509.Certificate]
) -> _Certificates | None:
    """Who has signed a certificate, who has signed that one, and so on up to an anchor; None if there is no way."""
    if certificate in anchors:
        return []
    seen.add(certificate)
    for signer in [*anchors, *intermediates]:
        if signer not in seen and _signed(certificate, signer):
            rest = _signers(signer, intermediates, anchors, seen)
            if rest is not None:
                return [signer, *rest]
    return None


def _signed(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(signer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _path_length(certificate: x509.Certificate, who: str, *, below: int) -> list[CertificateFinding]:
    constraints = _extension(certificate, x509.BasicConstraints)
    length = constraints.path_length if constraints else None
    short = length is not None and length < below
    rule = f"{who} has the path length {length}, and {below} CA{'s' if below > 1 else ''} below it"
    return _findings((short, rule, f"make it with the path length {below} or more, or without one"))


def _names(certificate: x509.Certificate) -> set[str | bytes]:
    alternatives = _extension(certificate, x509.SubjectAlternativeName)
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {name.value for name in common} | set(alternatives.get_values_for_type(x509.DNSName) if alternatives else [])


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
