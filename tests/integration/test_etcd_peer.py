"""The etcd by which tests judge certificates: it lets in whom it should, and refuses all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from tests.helpers.certificate_authority import LocalAuthority
from tests.helpers.etcd_peer import EtcdPeer, Identity, serving

pytestmark = pytest.mark.lab

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
BEGIN = datetime.now(UTC) - timedelta(hours=1)
END = BEGIN + timedelta(days=1)


def authority() -> LocalAuthority:
    return LocalAuthority(name="Cilium CA", begin=BEGIN, end=END)


def identity(
    signer: LocalAuthority,
    name: str,
    *purposes: ObjectIdentifier,
    dns_name: str | None = None,
    begin: datetime = BEGIN,
    end: datetime = END,
) -> Identity:
    leaf = LocalAuthority(
        name=name, signer=signer, begin=begin, end=end, ca=False, cert_sign=False, purposes=purposes, dns_name=dns_name
    )
    return Identity(certificate=leaf.pem, key=leaf.private, authority=signer.pem)


ROOT, OTHER = authority(), authority()
WEST = identity(ROOT, "clustermesh-apiserver.cilium.io", SERVER, CLIENT, dns_name="west.mesh.cilium.io")
REMOTE = identity(ROOT, "remote", CLIENT)


@pytest.fixture(scope="module")
def west() -> Iterator[EtcdPeer]:
    with serving(WEST) as peer:
        yield peer


def test_a_client_of_the_same_authority_is_answered(west: EtcdPeer) -> None:
    assert west.refusal(REMOTE, "west") is None


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (replace(identity(OTHER, "remote", CLIENT), authority=ROOT.pem), "unknown ca|bad certificate"),
        (Identity(certificate=None, key=None, authority=ROOT.pem), "certificate required"),
        (identity(ROOT, "remote", SERVER), "bad certificate"),
        (identity(ROOT, "remote", CLIENT, end=BEGIN + timedelta(minutes=1)), "certificate expired|bad certificate"),
    ],
    ids=["another authority's", "none", "a server's", "an expired one"],
)
def test_a_client_with_no_certificate_that_counts_is_refused(west: EtcdPeer, client: Identity, why: str) -> None:
    refusal = west.refusal(client, "west")

    assert refusal is not None
    assert any(words in refusal for words in why.split("|")), refusal


def test_a_client_that_believes_another_authority_refuses_the_server(west: EtcdPeer) -> None:
    refusal = west.refusal(replace(REMOTE, authority=OTHER.pem), "west")

    assert refusal is not None
    assert "certificate verify failed" in refusal


@pytest.mark.parametrize(("cluster", "domain"), [("east", "mesh.cilium.io"), ("west", "example.org")])
def test_a_name_that_is_not_in_the_servers_certificate_is_refused(west: EtcdPeer, cluster: str, domain: str) -> None:
    refusal = west.refusal(REMOTE, cluster, domain=domain)

    assert refusal is not None
    assert "Hostname mismatch" in refusal


def test_a_server_with_a_key_that_is_not_its_own_does_not_start() -> None:
    with pytest.raises(AssertionError, match="private key does not match"), serving(replace(WEST, key=REMOTE.key)):
        pass


def test_nothing_is_left_of_it_when_a_test_fails() -> None:
    with pytest.raises(RuntimeError), serving(WEST) as peer:
        raise RuntimeError("a test fails")

    assert not psutil.pid_exists(peer.process.pid)
