"""Texts that are to be certificates or keys: how they are read, and that garbage neither raises nor leaks."""

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
from tests.helpers.certificate_authority import NOW, PEM, LocalAuthority, begins, pem, rsa_key, subject
from tests.helpers.certificate_rules import ANCHOR, ISSUER, NAME, anchor_rules, issuer_rules


def request() -> str:
    return (
        x509.CertificateSigningRequestBuilder(subject(NAME))
        .sign(ISSUER.key, hashes.SHA256())
        .public_bytes(PEM)
        .decode()
    )


def public_key() -> str:
    return ANCHOR.key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_comments_and_windows_line_ends_do_no_harm() -> None:
    for decorated in (
        f"Bag Attributes\n    friendlyName: Ünïcode\nsubject=CN = x\n{ANCHOR.pem}\n\nand more\n",
        ANCHOR.pem.replace("\n", "\r\n"),
        ANCHOR.pem.strip(),
    ):
        assert anchor_rules(decorated) == []
        assert certificate_validation.normalize_certificate(decorated) == ANCHOR.pem
        assert issuer_rules(ISSUER.pem, ISSUER.private.replace("\n", "\r\n"), anchor=decorated) == []


def test_plain_keeps_every_certificate_in_its_place() -> None:
    assert (
        certificate_validation.normalize_certificate(f"one\n{ISSUER.pem}\ntwo\n{ANCHOR.pem}\n")
        == ISSUER.pem + ANCHOR.pem
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "there is no certificate in it"),
        ("\x00\x01\ud800\xff", "there is no certificate in it"),
        (ANCHOR.private, "it has a private key in it"),
        (ANCHOR.pem + ANCHOR.private, "it has a private key in it"),
        (pem(ANCHOR.key, password=b"secret"), "it has a private key in it"),
        (public_key(), "it has a public key in it"),
        (request(), "it has a certificate request in it"),
        ("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----", "another kind of PEM block"),
        (ANCHOR.pem[:200], "there is a part of a certificate in it"),
        (ISSUER.pem + ANCHOR.pem[:200], "there is a part of a certificate in it"),
        (ANCHOR.pem[:200] + "\n" + ISSUER.pem, "there is a part of a certificate in it"),
        (ANCHOR.pem.replace("\n", " "), "there is a part of a certificate in it"),
        (ANCHOR.pem.replace("\n", "\n  "), "there is a part of a certificate in it"),
        (ANCHOR.pem[:200] + ANCHOR.pem[240:], "certificate 1 in it can't be read"),
        (ANCHOR.pem[:30] + "\ud800" + ANCHOR.pem[30:], "certificate 1 in it can't be read"),
        (ANCHOR.pem + ANCHOR.private.replace("PRIVATE KEY", "CERTIFICATE"), "certificate 2 in it can't be read"),
    ],
)
def test_a_text_that_is_no_certificate_is_one_finding(text: str, rule: str) -> None:
    (found,) = anchor_rules(text)

    assert rule in found
    assert issuer_rules(text, ISSUER.private, anchor=ANCHOR.pem) == [found]
    for read in (certificate_validation.normalize_certificate, certificate_validation.expiry):
        with pytest.raises(ValueError, match=rule):
            read(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "there is no private key in it"),
        ("\x00\x01\ud800\xff", "there is no private key in it"),
        (ISSUER.private[:100], "there is no private key in it"),
        (ISSUER.pem, "there is no private key in it, but a certificate"),
        (public_key(), "there is no private key in it, but a public key"),
        (request(), "there is no private key in it, but a certificate request"),
        (ISSUER.private + ANCHOR.private, "there are 2 private keys in it"),
        (pem(ISSUER.key, password=b"secret"), "the key is encrypted"),
        (pem(ISSUER.key, serialization.PrivateFormat.TraditionalOpenSSL, b"secret"), "the key is encrypted"),
        (ISSUER.private[:60] + ISSUER.private[80:], "the key can't be read"),
        (ISSUER.private[:60] + "\ud800" + ISSUER.private[60:], "the key can't be read"),
        (ISSUER.pem.replace("CERTIFICATE", "PRIVATE KEY"), "the key can't be read"),
    ],
    # Not by the texts: each run makes other keys.
    ids=range(12),
)
def test_a_text_that_is_no_key_is_one_finding(text: str, rule: str) -> None:
    for findings in (
        certificate_validation.anchor_key_findings(ISSUER.pem, text),
        certificate_validation.issuer_findings(ISSUER.pem, text, anchor=ANCHOR.pem, now=NOW),
    ):
        assert [finding.rule for finding in findings] == [rule]
    with pytest.raises(ValueError, match=rule):
        certificate_validation.to_pkcs8(text)


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        ("a003020102", "a003020159"),  # the version
        ("0603551d0f", "0603551d13"),  # key usages become basic constraints, of which there are then two
        ("30030101ff", "30030101aa"),  # the basic constraints are no DER
        (b"root".hex(), "ff6f6f74"),  # the subject is no UTF-8
        (b"300101030405Z".hex(), b"301301030405Z".hex()),  # the validity begins in a thirteenth month
        (b"99991231".hex(), b"00001231".hex()),  # it ends in the year 0
        ("06082a8648ce3d030107", "06082a8648ce3d030102"),  # the key's curve
    ],
)
def test_a_certificate_is_read_to_its_end_at_once(sound: str, broken: str) -> None:
    anchor = LocalAuthority(end=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    content = x509.load_pem_x509_certificate(anchor.pem.encode()).public_bytes(serialization.Encoding.DER)
    damaged = content.replace(bytes.fromhex(sound), bytes.fromhex(broken))
    text = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(damaged).decode()}-----END CERTIFICATE-----\n"

    assert damaged != content
    assert anchor_rules(text) == ["certificate 1 in it can't be read"]


def test_a_key_becomes_pkcs8_from_any_form() -> None:
    older = serialization.PrivateFormat.TraditionalOpenSSL
    sec1, pkcs1 = pem(ISSUER.key, older), pem(rsa_key(2048), older)
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

    assert sec1.startswith(begins("EC PRIVATE KEY"))
    assert pkcs1.startswith(begins("RSA PRIVATE KEY"))
    for text in (sec1, parameters + sec1, sec1.replace("\n", "\r\n"), f"Bag Attributes\n{ISSUER.private}\n\n"):
        assert certificate_validation.to_pkcs8(text) == ISSUER.private
        assert issuer_rules(ISSUER.pem, text, anchor=ANCHOR.pem) == []
    assert certificate_validation.to_pkcs8(pkcs1) == pem(rsa_key(2048))


def test_expiry_is_that_of_the_certificate_that_goes_first() -> None:
    early = LocalAuthority(end=datetime(2030, 1, 2, 3, 4, 6, tzinfo=UTC))

    assert certificate_validation.expiry(ANCHOR.pem) == "2030-01-03T03:04:05Z"
    for bundle in (early.pem + ANCHOR.pem, ANCHOR.pem + early.pem):
        assert certificate_validation.expiry(bundle) == "2030-01-02T03:04:06Z"


def every_finding(text: str) -> list[CertificateFinding]:
    """What all functions say of a text, in the place of each of their arguments."""
    return [
        *certificate_validation.anchor_findings(text, now=NOW),
        *certificate_validation.anchor_key_findings(text, ANCHOR.private),
        *certificate_validation.anchor_key_findings(ANCHOR.pem, text),
        *certificate_validation.issuer_findings(text, ISSUER.private, anchor=ANCHOR.pem, now=NOW),
        *certificate_validation.issuer_findings(ISSUER.pem, text, anchor=ANCHOR.pem, now=NOW),
        *certificate_validation.issuer_findings(ISSUER.pem, ISSUER.private, anchor=text, now=NOW),
    ]


LABELS = ["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "PUBLIC KEY"]
PIECES = [
    *(f"-----{mark} {label}-----" for mark in ("BEGIN", "END") for label in LABELS),
    "\n",
    "\r\n",
    "Proc-Type: 4,",
]


@pytest.mark.thorough
@given(st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8))).map("".join)))
def test_garbage_is_found_and_never_raises(text: str) -> None:
    assert every_finding(text)


@pytest.mark.thorough
@hypothesis_settings(max_examples=300)
@given(
    label=st.sampled_from(LABELS),
    original=st.sampled_from([ANCHOR.pem, ISSUER.pem, ANCHOR.private]),
    place=st.floats(0, 1, exclude_max=True),
    patch=st.binary(min_size=1, max_size=4),
)
def test_a_damaged_block_never_raises_nor_leaks(label: str, original: str, place: float, patch: bytes) -> None:
    content = bytearray(base64.b64decode("".join(original.splitlines()[1:-1])))
    start = int(place * len(content))
    content[start : start + len(patch)] = patch
    encoded = base64.encodebytes(bytes(content)).decode()
    said = repr(every_finding(f"-----BEGIN {label}-----\n{encoded}-----END {label}-----\n"))

    assert not any(line[:16] in said for line in encoded.splitlines() if len(line) >= 16)


def test_no_message_has_anything_of_a_key_in_it() -> None:
    for key in (ANCHOR.private, pem(ANCHOR.key, password=b"secret"), ANCHOR.private[:100], ANCHOR.private * 2):
        said = repr(every_finding(key))
        assert "private key" in said
        assert not any(line[:16] in said for line in key.splitlines() if not line.startswith("-----"))
