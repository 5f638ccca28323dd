"""The etcd with which other tests verify certificates: it accepts valid clients and refuses all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from tests.helpers.certificates import IssuedCertificate
from tests.helpers.etcd_peer import EtcdPeer, TlsIdentity, run_etcd

pytestmark = pytest.mark.lab

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
BEGIN = datetime.now(UTC) - timedelta(hours=1)
END = BEGIN + timedelta(days=1)


def create_authority() -> IssuedCertificate:
    return IssuedCertificate(name="Cilium CA", begin=BEGIN, end=END)


def create_identity(
    signer: IssuedCertificate,
    name: str,
    *purposes: ObjectIdentifier,
    dns_name: str | None = None,
    begin: datetime = BEGIN,
    end: datetime = END,
) -> TlsIdentity:
    leaf = IssuedCertificate(
        name=name, signer=signer, begin=begin, end=end, ca=False, cert_sign=False, purposes=purposes, dns_name=dns_name
    )
    return TlsIdentity(certificate=leaf.pem, key=leaf.private_key, authority=signer.pem)


ROOT, OTHER = create_authority(), create_authority()
WEST = create_identity(ROOT, "clustermesh-apiserver.cilium.io", SERVER, CLIENT, dns_name="west.mesh.cilium.io")
REMOTE = create_identity(ROOT, "remote", CLIENT)


@pytest.fixture(scope="module")
def west() -> Iterator[EtcdPeer]:
    with run_etcd(WEST) as peer:
        yield peer


def test_client_of_same_authority_is_accepted(west: EtcdPeer) -> None:
    assert west.refusal(REMOTE, "west") is None


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (replace(create_identity(OTHER, "remote", CLIENT), authority=ROOT.pem), "unknown ca|bad certificate"),
        (TlsIdentity(certificate=None, key=None, authority=ROOT.pem), "certificate required"),
        (create_identity(ROOT, "remote", SERVER), "bad certificate"),
        (
            create_identity(ROOT, "remote", CLIENT, end=BEGIN + timedelta(minutes=1)),
            "certificate expired|bad certificate",
        ),
    ],
    ids=["another authority's", "none", "a server's", "an expired one"],
)
def test_client_without_valid_certificate_is_refused(west: EtcdPeer, client: TlsIdentity, why: str) -> None:
    refusal = west.refusal(client, "west")

    assert refusal is not None
    assert any(words in refusal for words in why.split("|")), refusal


def test_client_trusting_another_authority_refuses_the_server(west: EtcdPeer) -> None:
    refusal = west.refusal(replace(REMOTE, authority=OTHER.pem), "west")

    assert refusal is not None
    assert "certificate verify failed" in refusal


@pytest.mark.parametrize(("cluster", "domain"), [("east", "mesh.cilium.io"), ("west", "example.org")])
def test_name_missing_in_server_certificate_is_refused(west: EtcdPeer, cluster: str, domain: str) -> None:
    refusal = west.refusal(REMOTE, cluster, domain=domain)

    assert refusal is not None
    assert "Hostname mismatch" in refusal


def test_server_with_mismatched_key_does_not_start() -> None:
    with pytest.raises(AssertionError, match="private key does not match"), run_etcd(replace(WEST, key=REMOTE.key)):
        pass


def test_etcd_process_ends_when_a_test_fails() -> None:
    with pytest.raises(RuntimeError), run_etcd(WEST) as peer:
        raise RuntimeError("a test fails")

    assert not psutil.pid_exists(peer.process.pid)
