"""An issuer's key, its name, and who has signed it, up to the anchor."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from mesh import certificate_validation
from mesh.certificate_validation import CertificateFinding
from tests.helpers.certificate_authority import NOW, LocalAuthority, pem, rsa_key
from tests.helpers.certificate_rules import ANCHOR, ISSUER, NAME, issuer_rules

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def test_an_issuers_key_must_be_its_own() -> None:
    for key in (ANCHOR.private, pem(rsa_key(2048)), pem(ed25519.Ed25519PrivateKey.generate())):
        assert issuer_rules(ISSUER.pem, key, anchor=ANCHOR.pem) == [
            "the key belongs to another certificate than the issuer's"
        ]


def test_an_issuers_name_is_its_common_name_or_a_dns_name_and_matters_only_if_asked_for() -> None:
    elsewhere = LocalAuthority(name="elsewhere", signer=ANCHOR)
    alternative = LocalAuthority(name="elsewhere", signer=ANCHOR, dns_name=NAME)

    assert issuer_rules(elsewhere.pem, elsewhere.private, anchor=ANCHOR.pem) == [f"the issuer's name isn't {NAME}"]
    assert issuer_rules(elsewhere.pem, elsewhere.private, anchor=ANCHOR.pem, common_name=None) == []
    assert issuer_rules(alternative.pem, alternative.private, anchor=ANCHOR.pem) == []


def test_any_anchor_of_a_rotation_may_have_signed_the_issuer() -> None:
    for anchors in (ANCHOR.pem + LocalAuthority().pem, LocalAuthority().pem + ANCHOR.pem):
        assert issuer_rules(ISSUER.pem, ISSUER.private, anchor=anchors) == []


@pytest.mark.parametrize(
    "stranger", [LocalAuthority(), LocalAuthority(name="elsewhere", key=ANCHOR.key)], ids=["key", "name"]
)
def test_an_issuer_of_another_anchor_is_refused(stranger: LocalAuthority) -> None:
    assert certificate_validation.issuer_findings(ISSUER.pem, ISSUER.private, anchor=stranger.pem, now=NOW) == [
        CertificateFinding(
            rule="the anchor hasn't signed the issuer",
            remedy="let the anchor sign it, or append the intermediates between the two",
        )
    ]


def test_an_issuer_may_be_the_anchor_itself() -> None:
    assert issuer_rules(ANCHOR.pem, ANCHOR.private, anchor=ANCHOR.pem, common_name=None) == []


def test_intermediates_lead_to_the_anchor_in_any_order() -> None:
    upper = LocalAuthority(name="upper", signer=ANCHOR, path_length=2)
    lower = LocalAuthority(name="lower", signer=upper, path_length=1)
    issuer = LocalAuthority(name=NAME, signer=lower, path_length=0)

    for between in (lower.pem + upper.pem, upper.pem + lower.pem, lower.pem + upper.pem + ANCHOR.pem):
        assert issuer_rules(issuer.pem + between, issuer.private, anchor=ANCHOR.pem) == []
    assert issuer_rules(issuer.pem + lower.pem, issuer.private, anchor=ANCHOR.pem) == [
        "the anchor hasn't signed the issuer"
    ]


def test_of_two_intermediates_with_one_key_the_one_below_the_anchor_counts() -> None:
    old = LocalAuthority(name="between", signer=LocalAuthority(name="old"))
    new = LocalAuthority(name="between", key=old.key, signer=ANCHOR)
    issuer = LocalAuthority(name=NAME, signer=old)

    for between in (old.pem + new.pem, new.pem + old.pem):
        assert issuer_rules(issuer.pem + between, issuer.private, anchor=ANCHOR.pem) == []


def test_intermediates_that_sign_each_other_lead_nowhere() -> None:
    left = LocalAuthority(name="left", signer=LocalAuthority(name="right"))
    right = LocalAuthority(name="right", key=left.signer.key if left.signer else ANCHOR.key, signer=left)
    issuer = LocalAuthority(name=NAME, signer=left)

    assert issuer_rules(issuer.pem + left.pem + right.pem, issuer.private, anchor=ANCHOR.pem) == [
        "the anchor hasn't signed the issuer"
    ]


def test_an_intermediate_must_be_valid_and_a_ca_that_may_sign() -> None:
    between = LocalAuthority(
        name="between", signer=ANCHOR, end=NOW - timedelta(hours=1), ca=False, cert_sign=False, purposes=(SERVER,)
    )
    issuer = LocalAuthority(name=NAME, signer=between)

    assert issuer_rules(issuer.pem + between.pem, issuer.private, anchor=ANCHOR.pem) == [
        "intermediate 1 isn't a CA",
        "intermediate 1 may not sign certificates",
        "intermediate 1 may not sign the certificates of servers and clients",
        "intermediate 1 expired on 2030-01-02T02:04:05Z",
    ]


def test_an_intermediate_may_have_a_stronger_key_than_an_issuer() -> None:
    between = LocalAuthority(
        name="between", key=ec.generate_private_key(ec.SECP384R1()), signer=ANCHOR, digest=hashes.SHA384()
    )
    issuer = LocalAuthority(name=NAME, signer=between)

    assert issuer_rules(issuer.pem + between.pem, issuer.private, anchor=ANCHOR.pem) == []


def test_path_lengths_must_leave_room_for_the_cas_below() -> None:
    anchor = LocalAuthority(path_length=1)
    between = LocalAuthority(name="between", signer=anchor, path_length=0)
    issuer = LocalAuthority(name=NAME, signer=between)

    assert issuer_rules(issuer.pem + between.pem, issuer.private, anchor=anchor.pem) == [
        "intermediate 1 has the path length 0, and 1 CA below it",
        "the anchor has the path length 1, and 2 CAs below it",
    ]


def test_all_findings_come_at_once() -> None:
    issuer = LocalAuthority(
        name="elsewhere",
        key=ec.generate_private_key(ec.SECP384R1()),
        signer=LocalAuthority(),
        end=NOW - timedelta(hours=1),
        ca=False,
        cert_sign=False,
        purposes=(CLIENT,),
        digest=hashes.SHA384(),
    )

    assert issuer_rules(issuer.pem, ISSUER.private, anchor=ANCHOR.pem) == [
        "the issuer isn't a CA",
        "the issuer may not sign certificates",
        "the issuer may not sign the certificates of servers and clients",
        "the issuer expired on 2030-01-02T02:04:05Z",
        "the issuer has a kind of key that Linkerd doesn't take",
        "the issuer has a signature that Linkerd doesn't take",
        f"the issuer's name isn't {NAME}",
        "the key belongs to another certificate than the issuer's",
        "the anchor hasn't signed the issuer",
    ]
    assert issuer_rules("nonsense", "nonsense", anchor="nonsense") == [
        "there is no certificate in it",
        "there is no private key in it",
    ]
