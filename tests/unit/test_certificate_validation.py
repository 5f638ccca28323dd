"""Validation of trust anchors and issuers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from mesh import certificate_validation
from mesh.certificate_validation import CertificateFinding
from tests.helpers.certificate_rules import ANCHOR, ISSUER, ISSUER_NAME, violated_anchor_rules, violated_issuer_rules
from tests.helpers.certificates import DAY, NOW, IssuedCertificate, generate_rsa_key

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


def test_valid_anchor_and_issuer_have_no_findings() -> None:
    assert certificate_validation.check_anchor(ANCHOR.pem, now=NOW) == []
    assert certificate_validation.check_anchor_key(ANCHOR.pem, ANCHOR.private_key) == []
    assert violated_issuer_rules(ISSUER.pem, ISSUER.private_key, anchor=ANCHOR.pem) == []


def test_finding_has_rule_and_remedy() -> None:
    expired = IssuedCertificate(begin=NOW - 2 * DAY, end=NOW - DAY)

    assert certificate_validation.check_anchor(expired.pem, now=NOW) == [
        CertificateFinding(rule="the anchor expired on 2030-01-01T03:04:05Z", remedy="renew the certificate")
    ]


def test_every_anchor_of_bundle_is_checked() -> None:
    not_yet_valid = IssuedCertificate(begin=NOW + DAY, end=NOW + 2 * DAY)

    assert violated_anchor_rules(ANCHOR.pem + IssuedCertificate().pem) == []
    assert violated_anchor_rules(ANCHOR.pem + not_yet_valid.pem) == [
        "anchor 2 is not valid before 2030-01-03T03:04:05Z"
    ]


def test_validity_includes_first_and_last_second() -> None:
    assert violated_anchor_rules(IssuedCertificate(begin=NOW).pem) == []
    assert violated_anchor_rules(IssuedCertificate(end=NOW).pem) == []
    assert violated_anchor_rules(IssuedCertificate(begin=NOW + timedelta(seconds=1)).pem)
    assert violated_anchor_rules(IssuedCertificate(end=NOW - timedelta(seconds=1)).pem)


@pytest.mark.parametrize("ca", [False, None])
def test_anchor_and_issuer_must_be_cas(ca: bool | None) -> None:
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=ANCHOR, ca=ca)

    assert violated_anchor_rules(IssuedCertificate(ca=ca).pem) == ["the anchor is not a CA"]
    assert violated_issuer_rules(issuer.pem, issuer.private_key, anchor=ANCHOR.pem) == ["the issuer is not a CA"]


def test_key_usage_may_be_absent_but_must_allow_signing() -> None:
    without_usage = IssuedCertificate(name=ISSUER_NAME, signer=ANCHOR, cert_sign=None)
    without_signing = IssuedCertificate(name=ISSUER_NAME, signer=ANCHOR, cert_sign=False)

    assert violated_anchor_rules(IssuedCertificate(cert_sign=None).pem) == []
    assert violated_anchor_rules(IssuedCertificate(cert_sign=False).pem) == ["the anchor may not sign certificates"]
    assert violated_issuer_rules(without_usage.pem, without_usage.private_key, anchor=ANCHOR.pem) == []
    assert violated_issuer_rules(without_signing.pem, without_signing.private_key, anchor=ANCHOR.pem) == [
        "the issuer may not sign certificates"
    ]


def test_issuer_purposes_must_include_server_and_client() -> None:
    for purposes in ((SERVER,), (CLIENT,), (ANY,)):
        issuer = IssuedCertificate(name=ISSUER_NAME, signer=ANCHOR, purposes=purposes)
        assert violated_issuer_rules(issuer.pem, issuer.private_key, anchor=ANCHOR.pem) == [
            "the issuer may not sign the certificates of servers and clients"
        ]
    complete = IssuedCertificate(
        name=ISSUER_NAME, signer=ANCHOR, purposes=(CLIENT, SERVER, ExtendedKeyUsageOID.CODE_SIGNING)
    )
    assert violated_issuer_rules(complete.pem, complete.private_key, anchor=ANCHOR.pem) == []


def test_anchor_purposes_must_include_server() -> None:
    for purposes in ((SERVER,), (ANY,)):
        assert violated_anchor_rules(IssuedCertificate(purposes=purposes).pem) == []
    assert violated_anchor_rules(IssuedCertificate(purposes=(CLIENT,)).pem) == [
        "the anchor may not sign the certificates of servers and clients"
    ]


def test_anchor_may_have_rsa_key_of_supported_size() -> None:
    anchor = IssuedCertificate(key=generate_rsa_key(2048))
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=anchor)

    assert violated_anchor_rules(anchor.pem) == []
    assert certificate_validation.check_anchor_key(anchor.pem, anchor.private_key) == []
    assert violated_issuer_rules(issuer.pem, issuer.private_key, anchor=anchor.pem) == []
    assert certificate_validation.check_anchor(
        IssuedCertificate(key=generate_rsa_key(3072), signer=anchor).pem, now=NOW
    ) == [
        CertificateFinding(
            rule="the anchor has a key type that Linkerd does not support",
            remedy="create a certificate with an ECDSA P-256 key, or RSA with 2048 or 4096 bits",
        )
    ]


def test_issuer_must_have_ecdsa_key() -> None:
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=ANCHOR, key=generate_rsa_key(2048))

    assert certificate_validation.check_issuer(issuer.pem, issuer.private_key, anchor=ANCHOR.pem, now=NOW) == [
        CertificateFinding(
            rule="the issuer has a key type that Linkerd does not support",
            remedy="create a certificate with an ECDSA P-256 key",
        )
    ]


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()])
def test_curves_other_than_p_256_are_rejected(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=ANCHOR, key=key)

    assert violated_anchor_rules(IssuedCertificate(key=key).pem) == [
        "the anchor has a key type that Linkerd does not support"
    ]
    assert violated_issuer_rules(issuer.pem, issuer.private_key, anchor=ANCHOR.pem) == [
        "the issuer has a key type that Linkerd does not support"
    ]


def test_signature_must_use_sha_256() -> None:
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=ANCHOR, digest=hashes.SHA384())

    assert violated_anchor_rules(IssuedCertificate(digest=hashes.SHA384()).pem) == [
        "the anchor has a signature algorithm that Linkerd does not support"
    ]
    assert violated_issuer_rules(issuer.pem, issuer.private_key, anchor=ANCHOR.pem) == [
        "the issuer has a signature algorithm that Linkerd does not support"
    ]


def test_rsa_anchor_must_be_signed_by_rsa_key() -> None:
    anchor = IssuedCertificate(key=generate_rsa_key(2048), signer=ANCHOR)

    assert certificate_validation.check_anchor(anchor.pem, now=NOW) == [
        CertificateFinding(
            rule="the anchor has a signature algorithm that Linkerd does not support",
            remedy="sign the certificate with an RSA key and SHA-256",
        )
    ]


def test_anchor_key_must_match_first_certificate() -> None:
    other = IssuedCertificate()

    assert certificate_validation.check_anchor_key(ANCHOR.pem + other.pem, ANCHOR.private_key) == []
    assert certificate_validation.check_anchor_key(ANCHOR.pem + other.pem, other.private_key) == [
        CertificateFinding(
            rule="the key does not belong to the certificate of the anchor",
            remedy="use a certificate and its own private key",
        )
    ]


def test_path_length_of_anchor_must_allow_issuers() -> None:
    too_short, sufficient = IssuedCertificate(path_length=0), IssuedCertificate(path_length=1)

    assert certificate_validation.check_anchor_key(sufficient.pem, sufficient.private_key) == []
    assert certificate_validation.check_anchor_key(too_short.pem, too_short.private_key) == [
        CertificateFinding(
            rule="the anchor has the path length 0, and 1 CA below it",
            remedy="create a certificate with a path length of 1 or more, or without one",
        )
    ]


def test_unreadable_anchor_is_reported_once() -> None:
    assert certificate_validation.check_anchor_key("nonsense", ANCHOR.private_key) == []
    assert violated_issuer_rules(ISSUER.pem, ISSUER.private_key, anchor="nonsense") == []
