"""Certificates: what Linkerd can use, and what is said of those that it can't."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import certificates
from certificates import Finding
from tests.authority import DAY, NOW, PEM, Authority, begins, pem, subject

NAME = "identity.linkerd.cluster.local"

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


def anchor_rules(certificate: str) -> list[str]:
    return [finding.rule for finding in certificates.anchor_findings(certificate, now=NOW)]


def issuer_rules(certificate: str, key: str, *, anchor: str, common_name: str | None = NAME) -> list[str]:
    findings = certificates.issuer_findings(certificate, key, anchor=anchor, common_name=common_name, now=NOW)
    return [finding.rule for finding in findings]


ANCHOR = Authority()
ISSUER = Authority(name=NAME, signer=ANCHOR, path_length=0)


@pytest.fixture(scope="session")
def rsa_2048() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def rsa_3072() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


def request() -> str:
    return (
        x509.CertificateSigningRequestBuilder(subject(NAME))
        .sign(ISSUER.key, hashes.SHA256())
        .public_bytes(PEM)
        .decode()
    )


def public_key() -> str:
    return ANCHOR.key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_an_anchor_and_an_issuer_as_linkerds_guide_makes_them_have_no_findings() -> None:
    assert certificates.anchor_findings(ANCHOR.pem, now=NOW) == []
    assert certificates.anchor_key_findings(ANCHOR.pem, ANCHOR.private) == []
    assert issuer_rules(ISSUER.pem, ISSUER.private, anchor=ANCHOR.pem) == []


def test_a_finding_says_what_is_wrong_and_what_to_do() -> None:
    old = Authority(begin=NOW - 2 * DAY, end=NOW - DAY)

    assert certificates.anchor_findings(old.pem, now=NOW) == [
        Finding(rule="the anchor expired on 2030-01-01T03:04:05Z", remedy="renew it")
    ]


def test_every_anchor_of_a_rotation_is_checked() -> None:
    later = Authority(begin=NOW + DAY, end=NOW + 2 * DAY)

    assert anchor_rules(ANCHOR.pem + Authority().pem) == []
    assert anchor_rules(ANCHOR.pem + later.pem) == ["anchor 2 isn't valid before 2030-01-03T03:04:05Z"]


def test_a_certificate_is_valid_from_its_first_second_through_its_last() -> None:
    assert anchor_rules(Authority(begin=NOW).pem) == []
    assert anchor_rules(Authority(end=NOW).pem) == []
    assert anchor_rules(Authority(begin=NOW + timedelta(seconds=1)).pem)
    assert anchor_rules(Authority(end=NOW - timedelta(seconds=1)).pem)


@pytest.mark.parametrize("ca", [False, None])
def test_an_anchor_and_an_issuer_must_be_cas(ca: bool | None) -> None:
    issuer = Authority(name=NAME, signer=ANCHOR, ca=ca)

    assert anchor_rules(Authority(ca=ca).pem) == ["the anchor isn't a CA"]
    assert issuer_rules(issuer.pem, issuer.private, anchor=ANCHOR.pem) == ["the issuer isn't a CA"]


def test_key_usages_may_be_absent_but_not_forbid_signing() -> None:
    without = Authority(name=NAME, signer=ANCHOR, cert_sign=None)
    forbidden = Authority(name=NAME, signer=ANCHOR, cert_sign=False)

    assert anchor_rules(Authority(cert_sign=None).pem) == []
    assert anchor_rules(Authority(cert_sign=False).pem) == ["the anchor may not sign certificates"]
    assert issuer_rules(without.pem, without.private, anchor=ANCHOR.pem) == []
    assert issuer_rules(forbidden.pem, forbidden.private, anchor=ANCHOR.pem) == ["the issuer may not sign certificates"]


def test_extended_key_usages_of_an_issuer_must_suit_servers_and_clients() -> None:
    for purposes in ((SERVER,), (CLIENT,), (ANY,)):
        issuer = Authority(name=NAME, signer=ANCHOR, purposes=purposes)
        assert issuer_rules(issuer.pem, issuer.private, anchor=ANCHOR.pem) == [
            "the issuer may not sign the certificates of servers and clients"
        ]
    both = Authority(name=NAME, signer=ANCHOR, purposes=(CLIENT, SERVER, ExtendedKeyUsageOID.CODE_SIGNING))
    assert issuer_rules(both.pem, both.private, anchor=ANCHOR.pem) == []


def test_extended_key_usages_of_an_anchor_must_suit_servers() -> None:
    for purposes in ((SERVER,), (ANY,)):
        assert anchor_rules(Authority(purposes=purposes).pem) == []
    assert anchor_rules(Authority(purposes=(CLIENT,)).pem) == [
        "the anchor may not sign the certificates of servers and clients"
    ]


def test_an_anchor_may_have_an_rsa_key_of_a_size_that_linkerd_knows(
    rsa_2048: rsa.RSAPrivateKey, rsa_3072: rsa.RSAPrivateKey
) -> None:
    anchor = Authority(key=rsa_2048)
    issuer = Authority(name=NAME, signer=anchor)

    assert anchor_rules(anchor.pem) == []
    assert certificates.anchor_key_findings(anchor.pem, anchor.private) == []
    assert issuer_rules(issuer.pem, issuer.private, anchor=anchor.pem) == []
    assert certificates.anchor_findings(Authority(key=rsa_3072, signer=anchor).pem, now=NOW) == [
        Finding(
            rule="the anchor has a kind of key that Linkerd doesn't take",
            remedy="make it with an ECDSA P-256 key, or RSA with 2048 or 4096 bits",
        )
    ]


def test_an_issuer_must_have_an_ecdsa_key_even_where_its_anchor_needs_none(rsa_2048: rsa.RSAPrivateKey) -> None:
    issuer = Authority(name=NAME, signer=ANCHOR, key=rsa_2048)

    assert certificates.issuer_findings(issuer.pem, issuer.private, anchor=ANCHOR.pem, now=NOW) == [
        Finding(rule="the issuer has a kind of key that Linkerd doesn't take", remedy="make it with an ECDSA P-256 key")
    ]


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()])
def test_no_curve_but_p_256_will_do(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    issuer = Authority(name=NAME, signer=ANCHOR, key=key)

    assert anchor_rules(Authority(key=key).pem) == ["the anchor has a kind of key that Linkerd doesn't take"]
    assert issuer_rules(issuer.pem, issuer.private, anchor=ANCHOR.pem) == [
        "the issuer has a kind of key that Linkerd doesn't take"
    ]


def test_a_signature_must_be_made_with_sha_256() -> None:
    issuer = Authority(name=NAME, signer=ANCHOR, digest=hashes.SHA384())

    assert anchor_rules(Authority(digest=hashes.SHA384()).pem) == [
        "the anchor has a signature that Linkerd doesn't take"
    ]
    assert issuer_rules(issuer.pem, issuer.private, anchor=ANCHOR.pem) == [
        "the issuer has a signature that Linkerd doesn't take"
    ]


def test_an_rsa_anchor_must_be_signed_by_an_rsa_key(rsa_2048: rsa.RSAPrivateKey) -> None:
    crossed = Authority(key=rsa_2048, signer=ANCHOR)

    assert certificates.anchor_findings(crossed.pem, now=NOW) == [
        Finding(
            rule="the anchor has a signature that Linkerd doesn't take", remedy="sign it with an RSA key and SHA-256"
        )
    ]


def test_an_anchors_key_must_be_that_of_the_first_certificate() -> None:
    other = Authority()

    assert certificates.anchor_key_findings(ANCHOR.pem + other.pem, ANCHOR.private) == []
    assert certificates.anchor_key_findings(ANCHOR.pem + other.pem, other.private) == [
        Finding(rule="the key belongs to another certificate than the anchor's", remedy="give the two that are a pair")
    ]


def test_an_anchor_with_a_key_must_leave_room_for_issuers() -> None:
    short, enough = Authority(path_length=0), Authority(path_length=1)

    assert certificates.anchor_key_findings(enough.pem, enough.private) == []
    assert certificates.anchor_key_findings(short.pem, short.private) == [
        Finding(
            rule="the anchor has the path length 0, and 1 CA below it",
            remedy="make it with the path length 1 or more, or without one",
        )
    ]


def test_an_anchor_that_cannot_be_read_is_told_once() -> None:
    assert certificates.anchor_key_findings("nonsense", ANCHOR.private) == []
    assert issuer_rules(ISSUER.pem, ISSUER.private, anchor="nonsense") == []


def test_an_issuers_key_must_be_its_own(rsa_2048: rsa.RSAPrivateKey) -> None:
    for key in (ANCHOR.private, pem(rsa_2048), pem(ed25519.Ed25519PrivateKey.generate())):
        assert issuer_rules(ISSUER.pem, key, anchor=ANCHOR.pem) == [
            "the key belongs to another certificate than the issuer's"
        ]


def test_an_issuers_name_is_its_common_name_or_a_dns_name_and_matters_only_if_asked_for() -> None:
    elsewhere = Authority(name="elsewhere", signer=ANCHOR)
    alternative = Authority(name="elsewhere", signer=ANCHOR, dns_name=NAME)

    assert issuer_rules(elsewhere.pem, elsewhere.private, anchor=ANCHOR.pem) == [f"the issuer's name isn't {NAME}"]
    assert issuer_rules(elsewhere.pem, elsewhere.private, anchor=ANCHOR.pem, common_name=None) == []
    assert issuer_rules(alternative.pem, alternative.private, anchor=ANCHOR.pem) == []


def test_any_anchor_of_a_rotation_may_have_signed_the_issuer() -> None:
    for anchors in (ANCHOR.pem + Authority().pem, Authority().pem + ANCHOR.pem):
        assert issuer_rules(ISSUER.pem, ISSUER.private, anchor=anchors) == []


@pytest.mark.parametrize("stranger", [Authority(), Authority(name="elsewhere", key=ANCHOR.key)], ids=["key", "name"])
def test_an_issuer_of_another_anchor_is_refused(stranger: Authority) -> None:
    assert certificates.issuer_findings(ISSUER.pem, ISSUER.private, anchor=stranger.pem, now=NOW) == [
        Finding(
            rule="the anchor hasn't signed the issuer",
            remedy="let the anchor sign it, or append the intermediates between the two",
        )
    ]


def test_an_issuer_may_be_the_anchor_itself() -> None:
    assert issuer_rules(ANCHOR.pem, ANCHOR.private, anchor=ANCHOR.pem, common_name=None) == []


def test_intermediates_lead_to_the_anchor_in_any_order() -> None:
    upper = Authority(name="upper", signer=ANCHOR, path_length=2)
    lower = Authority(name="lower", signer=upper, path_length=1)
    issuer = Authority(name=NAME, signer=lower, path_length=0)

    for between in (lower.pem + upper.pem, upper.pem + lower.pem, lower.pem + upper.pem + ANCHOR.pem):
        assert issuer_rules(issuer.pem + between, issuer.private, anchor=ANCHOR.pem) == []
    assert issuer_rules(issuer.pem + lower.pem, issuer.private, anchor=ANCHOR.pem) == [
        "the anchor hasn't signed the issuer"
    ]


def test_of_two_intermediates_with_one_key_the_one_below_the_anchor_counts() -> None:
    old = Authority(name="between", signer=Authority(name="old"))
    new = Authority(name="between", key=old.key, signer=ANCHOR)
    issuer = Authority(name=NAME, signer=old)

    for between in (old.pem + new.pem, new.pem + old.pem):
        assert issuer_rules(issuer.pem + between, issuer.private, anchor=ANCHOR.pem) == []


def test_intermediates_that_sign_each_other_lead_nowhere() -> None:
    left = Authority(name="left", signer=Authority(name="right"))
    right = Authority(name="right", key=left.signer.key if left.signer else ANCHOR.key, signer=left)
    issuer = Authority(name=NAME, signer=left)

    assert issuer_rules(issuer.pem + left.pem + right.pem, issuer.private, anchor=ANCHOR.pem) == [
        "the anchor hasn't signed the issuer"
    ]


def test_an_intermediate_must_be_valid_and_a_ca_that_may_sign() -> None:
    between = Authority(
        name="between", signer=ANCHOR, end=NOW - timedelta(hours=1), ca=False, cert_sign=False, purposes=(SERVER,)
    )
    issuer = Authority(name=NAME, signer=between)

    assert issuer_rules(issuer.pem + between.pem, issuer.private, anchor=ANCHOR.pem) == [
        "intermediate 1 isn't a CA",
        "intermediate 1 may not sign certificates",
        "intermediate 1 may not sign the certificates of servers and clients",
        "intermediate 1 expired on 2030-01-02T02:04:05Z",
    ]


def test_an_intermediate_may_have_a_stronger_key_than_an_issuer() -> None:
    between = Authority(
        name="between", key=ec.generate_private_key(ec.SECP384R1()), signer=ANCHOR, digest=hashes.SHA384()
    )
    issuer = Authority(name=NAME, signer=between)

    assert issuer_rules(issuer.pem + between.pem, issuer.private, anchor=ANCHOR.pem) == []


def test_path_lengths_must_leave_room_for_the_cas_below() -> None:
    anchor = Authority(path_length=1)
    between = Authority(name="between", signer=anchor, path_length=0)
    issuer = Authority(name=NAME, signer=between)

    assert issuer_rules(issuer.pem + between.pem, issuer.private, anchor=anchor.pem) == [
        "intermediate 1 has the path length 0, and 1 CA below it",
        "the anchor has the path length 1, and 2 CAs below it",
    ]


def test_all_findings_come_at_once() -> None:
    issuer = Authority(
        name="elsewhere",
        key=ec.generate_private_key(ec.SECP384R1()),
        signer=Authority(),
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


def test_comments_and_windows_line_ends_do_no_harm() -> None:
    for decorated in (
        f"Bag Attributes\n    friendlyName: Ünïcode\nsubject=CN = x\n{ANCHOR.pem}\n\nand more\n",
        ANCHOR.pem.replace("\n", "\r\n"),
        ANCHOR.pem.strip(),
    ):
        assert anchor_rules(decorated) == []
        assert certificates.plain(decorated) == ANCHOR.pem
        assert issuer_rules(ISSUER.pem, ISSUER.private.replace("\n", "\r\n"), anchor=decorated) == []


def test_plain_keeps_every_certificate_in_its_place() -> None:
    assert certificates.plain(f"one\n{ISSUER.pem}\ntwo\n{ANCHOR.pem}\n") == ISSUER.pem + ANCHOR.pem


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
    for read in (certificates.plain, certificates.expiry):
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
)
def test_a_text_that_is_no_key_is_one_finding(text: str, rule: str) -> None:
    for findings in (
        certificates.anchor_key_findings(ISSUER.pem, text),
        certificates.issuer_findings(ISSUER.pem, text, anchor=ANCHOR.pem, now=NOW),
    ):
        assert [finding.rule for finding in findings] == [rule]
    with pytest.raises(ValueError, match=rule):
        certificates.pkcs8(text)


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
    anchor = Authority(end=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    content = x509.load_pem_x509_certificate(anchor.pem.encode()).public_bytes(serialization.Encoding.DER)
    damaged = content.replace(bytes.fromhex(sound), bytes.fromhex(broken))
    text = f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(damaged).decode()}-----END CERTIFICATE-----\n"

    assert damaged != content
    assert anchor_rules(text) == ["certificate 1 in it can't be read"]


def test_a_key_becomes_pkcs8_from_any_form(rsa_2048: rsa.RSAPrivateKey) -> None:
    older = serialization.PrivateFormat.TraditionalOpenSSL
    sec1, pkcs1 = pem(ISSUER.key, older), pem(rsa_2048, older)
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

    assert sec1.startswith(begins("EC PRIVATE KEY"))
    assert pkcs1.startswith(begins("RSA PRIVATE KEY"))
    for text in (sec1, parameters + sec1, sec1.replace("\n", "\r\n"), f"Bag Attributes\n{ISSUER.private}\n\n"):
        assert certificates.pkcs8(text) == ISSUER.private
        assert issuer_rules(ISSUER.pem, text, anchor=ANCHOR.pem) == []
    assert certificates.pkcs8(pkcs1) == pem(rsa_2048)


def test_expiry_is_that_of_the_certificate_that_goes_first() -> None:
    early = Authority(end=datetime(2030, 1, 2, 3, 4, 6, tzinfo=UTC))

    assert certificates.expiry(ANCHOR.pem) == "2030-01-03T03:04:05Z"
    for bundle in (early.pem + ANCHOR.pem, ANCHOR.pem + early.pem):
        assert certificates.expiry(bundle) == "2030-01-02T03:04:06Z"


def every_finding(text: str) -> list[Finding]:
    """What all functions say of a text, in the place of each of their arguments."""
    return [
        *certificates.anchor_findings(text, now=NOW),
        *certificates.anchor_key_findings(text, ANCHOR.private),
        *certificates.anchor_key_findings(ANCHOR.pem, text),
        *certificates.issuer_findings(text, ISSUER.private, anchor=ANCHOR.pem, now=NOW),
        *certificates.issuer_findings(ISSUER.pem, text, anchor=ANCHOR.pem, now=NOW),
        *certificates.issuer_findings(ISSUER.pem, ISSUER.private, anchor=text, now=NOW),
    ]


LABELS = ["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "PUBLIC KEY"]
PIECES = [
    *(f"-----{mark} {label}-----" for mark in ("BEGIN", "END") for label in LABELS),
    "\n",
    "\r\n",
    "Proc-Type: 4,",
]


@given(st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8))).map("".join)))
def test_garbage_is_found_and_never_raises(text: str) -> None:
    assert every_finding(text)


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
