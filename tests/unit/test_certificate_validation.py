"""Certificates: what Linkerd can use as an anchor and as an issuer, and what is said of those that it can't."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from mesh import certificate_validation
from mesh.certificate_validation import CertificateFinding
from tests.helpers.certificate_authority import DAY, NOW, LocalAuthority, rsa_key
from tests.helpers.certificate_rules import ANCHOR, ISSUER, NAME, anchor_rules, issuer_rules

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


def test_an_anchor_and_an_issuer_as_linkerds_guide_makes_them_have_no_findings() -> None:
    assert certificate_validation.anchor_findings(ANCHOR.pem, now=NOW) == []
    assert certificate_validation.anchor_key_findings(ANCHOR.pem, ANCHOR.private) == []
    assert issuer_rules(ISSUER.pem, ISSUER.private, anchor=ANCHOR.pem) == []


def test_a_finding_says_what_is_wrong_and_what_to_do() -> None:
    old = LocalAuthority(begin=NOW - 2 * DAY, end=NOW - DAY)

    assert certificate_validation.anchor_findings(old.pem, now=NOW) == [
        CertificateFinding(rule="the anchor expired on 2030-01-01T03:04:05Z", remedy="renew it")
    ]


def test_every_anchor_of_a_rotation_is_checked() -> None:
    later = LocalAuthority(begin=NOW + DAY, end=NOW + 2 * DAY)

    assert anchor_rules(ANCHOR.pem + LocalAuthority().pem) == []
    assert anchor_rules(ANCHOR.pem + later.pem) == ["anchor 2 isn't valid before 2030-01-03T03:04:05Z"]


def test_a_certificate_is_valid_from_its_first_second_through_its_last() -> None:
    assert anchor_rules(LocalAuthority(begin=NOW).pem) == []
    assert anchor_rules(LocalAuthority(end=NOW).pem) == []
    assert anchor_rules(LocalAuthority(begin=NOW + timedelta(seconds=1)).pem)
    assert anchor_rules(LocalAuthority(end=NOW - timedelta(seconds=1)).pem)


@pytest.mark.parametrize("ca", [False, None])
def test_an_anchor_and_an_issuer_must_be_cas(ca: bool | None) -> None:
    issuer = LocalAuthority(name=NAME, signer=ANCHOR, ca=ca)

    assert anchor_rules(LocalAuthority(ca=ca).pem) == ["the anchor isn't a CA"]
    assert issuer_rules(issuer.pem, issuer.private, anchor=ANCHOR.pem) == ["the issuer isn't a CA"]


def test_key_usages_may_be_absent_but_not_forbid_signing() -> None:
    without = LocalAuthority(name=NAME, signer=ANCHOR, cert_sign=None)
    forbidden = LocalAuthority(name=NAME, signer=ANCHOR, cert_sign=False)

    assert anchor_rules(LocalAuthority(cert_sign=None).pem) == []
    assert anchor_rules(LocalAuthority(cert_sign=False).pem) == ["the anchor may not sign certificates"]
    assert issuer_rules(without.pem, without.private, anchor=ANCHOR.pem) == []
    assert issuer_rules(forbidden.pem, forbidden.private, anchor=ANCHOR.pem) == ["the issuer may not sign certificates"]


def test_extended_key_usages_of_an_issuer_must_suit_servers_and_clients() -> None:
    for purposes in ((SERVER,), (CLIENT,), (ANY,)):
        issuer = LocalAuthority(name=NAME, signer=ANCHOR, purposes=purposes)
        assert issuer_rules(issuer.pem, issuer.private, anchor=ANCHOR.pem) == [
            "the issuer may not sign the certificates of servers and clients"
        ]
    both = LocalAuthority(name=NAME, signer=ANCHOR, purposes=(CLIENT, SERVER, ExtendedKeyUsageOID.CODE_SIGNING))
    assert issuer_rules(both.pem, both.private, anchor=ANCHOR.pem) == []


def test_extended_key_usages_of_an_anchor_must_suit_servers() -> None:
    for purposes in ((SERVER,), (ANY,)):
        assert anchor_rules(LocalAuthority(purposes=purposes).pem) == []
    assert anchor_rules(LocalAuthority(purposes=(CLIENT,)).pem) == [
        "the anchor may not sign the certificates of servers and clients"
    ]


def test_an_anchor_may_have_an_rsa_key_of_a_size_that_linkerd_knows() -> None:
    anchor = LocalAuthority(key=rsa_key(2048))
    issuer = LocalAuthority(name=NAME, signer=anchor)

    assert anchor_rules(anchor.pem) == []
    assert certificate_validation.anchor_key_findings(anchor.pem, anchor.private) == []
    assert issuer_rules(issuer.pem, issuer.private, anchor=anchor.pem) == []
    assert certificate_validation.anchor_findings(LocalAuthority(key=rsa_key(3072), signer=anchor).pem, now=NOW) == [
        CertificateFinding(
            rule="the anchor has a kind of key that Linkerd doesn't take",
            remedy="make it with an ECDSA P-256 key, or RSA with 2048 or 4096 bits",
        )
    ]


def test_an_issuer_must_have_an_ecdsa_key_even_where_its_anchor_needs_none() -> None:
    issuer = LocalAuthority(name=NAME, signer=ANCHOR, key=rsa_key(2048))

    assert certificate_validation.issuer_findings(issuer.pem, issuer.private, anchor=ANCHOR.pem, now=NOW) == [
        CertificateFinding(
            rule="the issuer has a kind of key that Linkerd doesn't take", remedy="make it with an ECDSA P-256 key"
        )
    ]


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()])
def test_no_curve_but_p_256_will_do(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    issuer = LocalAuthority(name=NAME, signer=ANCHOR, key=key)

    assert anchor_rules(LocalAuthority(key=key).pem) == ["the anchor has a kind of key that Linkerd doesn't take"]
    assert issuer_rules(issuer.pem, issuer.private, anchor=ANCHOR.pem) == [
        "the issuer has a kind of key that Linkerd doesn't take"
    ]


def test_a_signature_must_be_made_with_sha_256() -> None:
    issuer = LocalAuthority(name=NAME, signer=ANCHOR, digest=hashes.SHA384())

    assert anchor_rules(LocalAuthority(digest=hashes.SHA384()).pem) == [
        "the anchor has a signature that Linkerd doesn't take"
    ]
    assert issuer_rules(issuer.pem, issuer.private, anchor=ANCHOR.pem) == [
        "the issuer has a signature that Linkerd doesn't take"
    ]


def test_an_rsa_anchor_must_be_signed_by_an_rsa_key() -> None:
    crossed = LocalAuthority(key=rsa_key(2048), signer=ANCHOR)

    assert certificate_validation.anchor_findings(crossed.pem, now=NOW) == [
        CertificateFinding(
            rule="the anchor has a signature that Linkerd doesn't take", remedy="sign it with an RSA key and SHA-256"
        )
    ]


def test_an_anchors_key_must_be_that_of_the_first_certificate() -> None:
    other = LocalAuthority()

    assert certificate_validation.anchor_key_findings(ANCHOR.pem + other.pem, ANCHOR.private) == []
    assert certificate_validation.anchor_key_findings(ANCHOR.pem + other.pem, other.private) == [
        CertificateFinding(
            rule="the key belongs to another certificate than the anchor's", remedy="give the two that are a pair"
        )
    ]


def test_an_anchor_with_a_key_must_leave_room_for_issuers() -> None:
    short, enough = LocalAuthority(path_length=0), LocalAuthority(path_length=1)

    assert certificate_validation.anchor_key_findings(enough.pem, enough.private) == []
    assert certificate_validation.anchor_key_findings(short.pem, short.private) == [
        CertificateFinding(
            rule="the anchor has the path length 0, and 1 CA below it",
            remedy="make it with the path length 1 or more, or without one",
        )
    ]


def test_an_anchor_that_cannot_be_read_is_told_once() -> None:
    assert certificate_validation.anchor_key_findings("nonsense", ANCHOR.private) == []
    assert issuer_rules(ISSUER.pem, ISSUER.private, anchor="nonsense") == []
