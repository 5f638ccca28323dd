"""Key, name and certificate chain of an issuer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from mesh import certificate_validation
from mesh.certificate_validation import CertificateFinding
from tests.helpers.certificate_rules import ANCHOR, ISSUER, ISSUER_NAME, violated_issuer_rules
from tests.helpers.certificates import NOW, IssuedCertificate, generate_rsa_key, private_key_pem

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def test_issuer_key_must_match_certificate() -> None:
    for key in (
        ANCHOR.private_key,
        private_key_pem(generate_rsa_key(2048)),
        private_key_pem(ed25519.Ed25519PrivateKey.generate()),
    ):
        assert violated_issuer_rules(ISSUER.pem, key, anchor=ANCHOR.pem) == [
            "the key does not belong to the certificate of the issuer"
        ]


def test_required_issuer_name_matches_common_or_dns_name() -> None:
    other = IssuedCertificate(name="elsewhere", signer=ANCHOR)
    with_dns_name = IssuedCertificate(name="elsewhere", signer=ANCHOR, dns_name=ISSUER_NAME)

    assert violated_issuer_rules(other.pem, other.private_key, anchor=ANCHOR.pem) == [
        f"the issuer's name is not {ISSUER_NAME}"
    ]
    assert violated_issuer_rules(other.pem, other.private_key, anchor=ANCHOR.pem, common_name=None) == []
    assert violated_issuer_rules(with_dns_name.pem, with_dns_name.private_key, anchor=ANCHOR.pem) == []


def test_issuer_may_be_signed_by_any_anchor_of_bundle() -> None:
    for anchors in (ANCHOR.pem + IssuedCertificate().pem, IssuedCertificate().pem + ANCHOR.pem):
        assert violated_issuer_rules(ISSUER.pem, ISSUER.private_key, anchor=anchors) == []


@pytest.mark.parametrize(
    "other_anchor", [IssuedCertificate(), IssuedCertificate(name="elsewhere", key=ANCHOR.key)], ids=["key", "name"]
)
def test_issuer_of_other_anchor_is_rejected(other_anchor: IssuedCertificate) -> None:
    assert certificate_validation.check_issuer(ISSUER.pem, ISSUER.private_key, anchor=other_anchor.pem, now=NOW) == [
        CertificateFinding(
            rule="the anchor has not signed the issuer",
            remedy="sign the issuer with the anchor, or append the intermediate certificates",
        )
    ]


def test_anchor_may_be_the_issuer() -> None:
    assert violated_issuer_rules(ANCHOR.pem, ANCHOR.private_key, anchor=ANCHOR.pem, common_name=None) == []


def test_intermediates_are_accepted_in_any_order() -> None:
    upper = IssuedCertificate(name="upper", signer=ANCHOR, path_length=2)
    lower = IssuedCertificate(name="lower", signer=upper, path_length=1)
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=lower, path_length=0)

    for intermediates in (lower.pem + upper.pem, upper.pem + lower.pem, lower.pem + upper.pem + ANCHOR.pem):
        assert violated_issuer_rules(issuer.pem + intermediates, issuer.private_key, anchor=ANCHOR.pem) == []
    assert violated_issuer_rules(issuer.pem + lower.pem, issuer.private_key, anchor=ANCHOR.pem) == [
        "the anchor has not signed the issuer"
    ]


def test_cross_signed_intermediate_leads_to_anchor() -> None:
    old = IssuedCertificate(name="between", signer=IssuedCertificate(name="old"))
    new = IssuedCertificate(name="between", key=old.key, signer=ANCHOR)
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=old)

    for intermediates in (old.pem + new.pem, new.pem + old.pem):
        assert violated_issuer_rules(issuer.pem + intermediates, issuer.private_key, anchor=ANCHOR.pem) == []


def test_circular_intermediates_do_not_reach_anchor() -> None:
    left_ca = IssuedCertificate(name="left", signer=IssuedCertificate(name="right"))
    right_ca = IssuedCertificate(name="right", key=left_ca.signer.key if left_ca.signer else ANCHOR.key, signer=left_ca)
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=left_ca)

    assert violated_issuer_rules(issuer.pem + left_ca.pem + right_ca.pem, issuer.private_key, anchor=ANCHOR.pem) == [
        "the anchor has not signed the issuer"
    ]


def test_intermediate_must_be_valid_signing_ca() -> None:
    intermediate = IssuedCertificate(
        name="between", signer=ANCHOR, end=NOW - timedelta(hours=1), ca=False, cert_sign=False, purposes=(SERVER,)
    )
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=intermediate)

    assert violated_issuer_rules(issuer.pem + intermediate.pem, issuer.private_key, anchor=ANCHOR.pem) == [
        "intermediate 1 is not a CA",
        "intermediate 1 may not sign certificates",
        "intermediate 1 may not sign the certificates of servers and clients",
        "intermediate 1 expired on 2030-01-02T02:04:05Z",
    ]


def test_intermediate_may_have_stronger_key_than_issuer() -> None:
    intermediate = IssuedCertificate(
        name="between", key=ec.generate_private_key(ec.SECP384R1()), signer=ANCHOR, digest=hashes.SHA384()
    )
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=intermediate)

    assert violated_issuer_rules(issuer.pem + intermediate.pem, issuer.private_key, anchor=ANCHOR.pem) == []


def test_path_lengths_must_allow_cas_below() -> None:
    anchor = IssuedCertificate(path_length=1)
    intermediate = IssuedCertificate(name="between", signer=anchor, path_length=0)
    issuer = IssuedCertificate(name=ISSUER_NAME, signer=intermediate)

    assert violated_issuer_rules(issuer.pem + intermediate.pem, issuer.private_key, anchor=anchor.pem) == [
        "intermediate 1 has the path length 0, and 1 CA below it",
        "the anchor has the path length 1, and 2 CAs below it",
    ]


def test_all_findings_are_reported_at_once() -> None:
    issuer = IssuedCertificate(
        name="elsewhere",
        key=ec.generate_private_key(ec.SECP384R1()),
        signer=IssuedCertificate(),
        end=NOW - timedelta(hours=1),
        ca=False,
        cert_sign=False,
        purposes=(CLIENT,),
        digest=hashes.SHA384(),
    )

    assert violated_issuer_rules(issuer.pem, ISSUER.private_key, anchor=ANCHOR.pem) == [
        "the issuer is not a CA",
        "the issuer may not sign certificates",
        "the issuer may not sign the certificates of servers and clients",
        "the issuer expired on 2030-01-02T02:04:05Z",
        "the issuer has a key type that Linkerd does not support",
        "the issuer has a signature algorithm that Linkerd does not support",
        f"the issuer's name is not {ISSUER_NAME}",
        "the key does not belong to the certificate of the issuer",
        "the anchor has not signed the issuer",
    ]
    assert violated_issuer_rules("nonsense", "nonsense", anchor="nonsense") == [
        "contains no certificate",
        "contains no private key",
    ]
