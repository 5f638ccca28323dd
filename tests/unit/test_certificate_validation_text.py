"""Parsing of certificates and keys, and of garbage that must neither raise nor leak."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mesh import certificate_validation
from mesh.certificate_validation import CertificateFinding
from tests.helpers.certificate_rules import ANCHOR, ISSUER, ISSUER_NAME, violated_anchor_rules, violated_issuer_rules
from tests.helpers.certificates import (
    NOW,
    PEM,
    IssuedCertificate,
    generate_rsa_key,
    pem_header,
    private_key_pem,
    subject_name,
)
from tests.helpers.fuzz_strategies import fuzz_settings


def create_certificate_request() -> str:
    return (
        x509.CertificateSigningRequestBuilder(subject_name(ISSUER_NAME))
        .sign(ISSUER.key, hashes.SHA256())
        .public_bytes(PEM)
        .decode()
    )


def encode_public_key() -> str:
    return ANCHOR.key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_comments_and_windows_line_ends_are_ignored() -> None:
    for text in (
        f"Bag Attributes\n    friendlyName: Ünïcode\nsubject=CN = x\n{ANCHOR.pem}\n\nand more\n",
        ANCHOR.pem.replace("\n", "\r\n"),
        ANCHOR.pem.strip(),
    ):
        assert violated_anchor_rules(text) == []
        assert certificate_validation.normalize_certificate(text) == ANCHOR.pem
        assert violated_issuer_rules(ISSUER.pem, ISSUER.private_key.replace("\n", "\r\n"), anchor=text) == []


def test_normalized_bundle_keeps_order_of_certificates() -> None:
    assert (
        certificate_validation.normalize_certificate(f"one\n{ISSUER.pem}\ntwo\n{ANCHOR.pem}\n")
        == ISSUER.pem + ANCHOR.pem
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "contains no certificate"),
        ("\x00\x01\ud800\xff", "contains no certificate"),
        (ANCHOR.private_key, "contains a private key"),
        (ANCHOR.pem + ANCHOR.private_key, "contains a private key"),
        (private_key_pem(ANCHOR.key, password=b"secret"), "contains a private key"),
        (encode_public_key(), "contains a public key"),
        (create_certificate_request(), "contains a certificate request"),
        ("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----", "another kind of PEM block"),
        (ANCHOR.pem[:200], "contains an incomplete certificate"),
        (ISSUER.pem + ANCHOR.pem[:200], "contains an incomplete certificate"),
        (ANCHOR.pem[:200] + "\n" + ISSUER.pem, "contains an incomplete certificate"),
        (ANCHOR.pem.replace("\n", " "), "contains an incomplete certificate"),
        (ANCHOR.pem.replace("\n", "\n  "), "contains an incomplete certificate"),
        (ANCHOR.pem[:200] + ANCHOR.pem[240:], "certificate 1 cannot be decoded"),
        (ANCHOR.pem[:30] + "\ud800" + ANCHOR.pem[30:], "certificate 1 cannot be decoded"),
        (ANCHOR.pem + ANCHOR.private_key.replace("PRIVATE KEY", "CERTIFICATE"), "certificate 2 cannot be decoded"),
    ],
)
def test_text_without_certificate_yields_one_finding(text: str, rule: str) -> None:
    (finding,) = violated_anchor_rules(text)

    assert rule in finding
    assert violated_issuer_rules(text, ISSUER.private_key, anchor=ANCHOR.pem) == [finding]
    for parse in (certificate_validation.normalize_certificate, certificate_validation.earliest_expiry):
        with pytest.raises(ValueError, match=rule):
            parse(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "contains no private key"),
        ("\x00\x01\ud800\xff", "contains no private key"),
        (ISSUER.private_key[:100], "contains no private key"),
        (ISSUER.pem, "contains no private key, but a certificate"),
        (encode_public_key(), "contains no private key, but a public key"),
        (create_certificate_request(), "contains no private key, but a certificate request"),
        (ISSUER.private_key + ANCHOR.private_key, "contains 2 private keys"),
        (private_key_pem(ISSUER.key, password=b"secret"), "the key is encrypted"),
        (
            private_key_pem(ISSUER.key, serialization.PrivateFormat.TraditionalOpenSSL, b"secret"),
            "the key is encrypted",
        ),
        (ISSUER.private_key[:60] + ISSUER.private_key[80:], "the key cannot be decoded"),
        (ISSUER.private_key[:60] + "\ud800" + ISSUER.private_key[60:], "the key cannot be decoded"),
        (ISSUER.pem.replace("CERTIFICATE", "PRIVATE KEY"), "the key cannot be decoded"),
    ],
    # Each run generates other keys, so the texts are unsuitable as test ids.
    ids=range(12),
)
def test_text_without_key_yields_one_finding(text: str, rule: str) -> None:
    for findings in (
        certificate_validation.check_anchor_key(ISSUER.pem, text),
        certificate_validation.check_issuer(ISSUER.pem, text, anchor=ANCHOR.pem, now=NOW),
    ):
        assert [finding.rule for finding in findings] == [rule]
    with pytest.raises(ValueError, match=rule):
        certificate_validation.to_pkcs8(text)


@pytest.mark.parametrize(
    ("valid", "invalid"),
    [
        ("a003020102", "a003020159"),  # the version
        ("0603551d0f", "0603551d13"),  # the key usage becomes a second basic constraints extension
        ("30030101ff", "30030101aa"),  # the basic constraints are not valid DER
        (b"root".hex(), "ff6f6f74"),  # the subject is not valid UTF-8
        (b"300101030405Z".hex(), b"301301030405Z".hex()),  # the validity begins in a thirteenth month
        (b"99991231".hex(), b"00001231".hex()),  # the validity ends in the year 0
        ("06082a8648ce3d030107", "06082a8648ce3d030102"),  # the key's curve
    ],
)
def test_certificate_is_parsed_completely_at_once(valid: str, invalid: str) -> None:
    anchor = IssuedCertificate(end=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    content = x509.load_pem_x509_certificate(anchor.pem.encode()).public_bytes(serialization.Encoding.DER)
    damaged = content.replace(bytes.fromhex(valid), bytes.fromhex(invalid))
    text = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(damaged).decode()}-----END CERTIFICATE-----\n"

    assert damaged != content
    assert violated_anchor_rules(text) == ["certificate 1 cannot be decoded"]


def test_key_of_any_format_becomes_pkcs8() -> None:
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    sec1, pkcs1 = private_key_pem(ISSUER.key, traditional), private_key_pem(generate_rsa_key(2048), traditional)
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

    assert sec1.startswith(pem_header("EC PRIVATE KEY"))
    assert pkcs1.startswith(pem_header("RSA PRIVATE KEY"))
    for text in (sec1, parameters + sec1, sec1.replace("\n", "\r\n"), f"Bag Attributes\n{ISSUER.private_key}\n\n"):
        assert certificate_validation.to_pkcs8(text) == ISSUER.private_key
        assert violated_issuer_rules(ISSUER.pem, text, anchor=ANCHOR.pem) == []
    assert certificate_validation.to_pkcs8(pkcs1) == private_key_pem(generate_rsa_key(2048))


def test_expiry_is_earliest_of_all_certificates() -> None:
    early = IssuedCertificate(end=datetime(2030, 1, 2, 3, 4, 6, tzinfo=UTC))

    assert certificate_validation.earliest_expiry(ANCHOR.pem) == "2030-01-03T03:04:05Z"
    for bundle in (early.pem + ANCHOR.pem, ANCHOR.pem + early.pem):
        assert certificate_validation.earliest_expiry(bundle) == "2030-01-02T03:04:06Z"


def collect_findings(text: str) -> list[CertificateFinding]:
    """Return the findings of every function, with the text as each of its arguments in turn."""
    return [
        *certificate_validation.check_anchor(text, now=NOW),
        *certificate_validation.check_anchor_key(text, ANCHOR.private_key),
        *certificate_validation.check_anchor_key(ANCHOR.pem, text),
        *certificate_validation.check_issuer(text, ISSUER.private_key, anchor=ANCHOR.pem, now=NOW),
        *certificate_validation.check_issuer(ISSUER.pem, text, anchor=ANCHOR.pem, now=NOW),
        *certificate_validation.check_issuer(ISSUER.pem, ISSUER.private_key, anchor=text, now=NOW),
    ]


PEM_LABELS = ["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "PUBLIC KEY"]
PEM_FRAGMENTS = [
    *(f"-----{mark} {label}-----" for mark in ("BEGIN", "END") for label in PEM_LABELS),
    "\n",
    "\r\n",
    "Proc-Type: 4,",
]


@pytest.mark.thorough
@hypothesis_settings(fuzz_settings, max_examples=100)
@given(st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(PEM_FRAGMENTS), st.text(max_size=8))).map("".join)))
def test_garbage_yields_findings_and_never_raises(text: str) -> None:
    assert collect_findings(text)


@pytest.mark.thorough
@hypothesis_settings(fuzz_settings, max_examples=300)
@given(
    label=st.sampled_from(PEM_LABELS),
    original=st.sampled_from([ANCHOR.pem, ISSUER.pem, ANCHOR.private_key]),
    position=st.floats(0, 1, exclude_max=True),
    patch=st.binary(min_size=1, max_size=4),
)
def test_damaged_block_neither_raises_nor_leaks(label: str, original: str, position: float, patch: bytes) -> None:
    content = bytearray(base64.b64decode("".join(original.splitlines()[1:-1])))
    start = int(position * len(content))
    content[start : start + len(patch)] = patch
    encoded = base64.encodebytes(bytes(content)).decode()
    findings = repr(collect_findings(f"-----BEGIN {label}-----\n{encoded}-----END {label}-----\n"))

    assert not any(line[:16] in findings for line in encoded.splitlines() if len(line) >= 16)


def test_findings_never_contain_key_material() -> None:
    for key in (
        ANCHOR.private_key,
        private_key_pem(ANCHOR.key, password=b"secret"),
        ANCHOR.private_key[:100],
        ANCHOR.private_key * 2,
    ):
        findings = repr(collect_findings(key))
        assert "private key" in findings
        assert not any(line[:16] in findings for line in key.splitlines() if not line.startswith("-----"))
