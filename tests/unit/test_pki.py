"""Certificate requests for issuers, servers and clients, on a mock engine."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.linkerd.pki import Certificate, CertificateAuthority
from tests.helpers.mock_engine import Recorder, use_mock_engine

AUTHORITY_USES = ["cert_signing", "crl_signing"]
SERVER_USES = ["digital_signature", "key_encipherment", "server_auth"]
CASES = pytest.mark.parametrize(
    ("arguments", "dns_names", "addresses", "issuer", "uses"),
    [
        pytest.param({}, None, None, True, AUTHORITY_USES, id="issuer"),
        pytest.param({"dns_names": ("a", "b")}, ["a", "b"], None, False, SERVER_USES, id="server"),
        pytest.param(
            {"dns_names": ["a"], "is_client": True}, ["a"], None, False, [*SERVER_USES, "client_auth"], id="both"
        ),
        pytest.param({"is_client": True}, None, None, False, [*SERVER_USES, "client_auth"], id="client"),
        pytest.param(
            {"dns_names": [], "is_client": True}, None, None, False, [*SERVER_USES, "client_auth"], id="no-names"
        ),
        pytest.param(
            {"dns_names": ["a"], "ip_addresses": ["127.0.0.1"]},
            ["a"],
            ["127.0.0.1"],
            False,
            SERVER_USES,
            id="addresses",
        ),
        pytest.param({"dns_names": "awaited"}, ["later"], None, False, SERVER_USES, id="awaited"),
    ],
)


@CASES
def test_certificate_is_issuer_unless_for_names_or_client(
    arguments: dict[str, Any], dns_names: list[str] | None, addresses: list[str] | None, issuer: bool, uses: list[str]
) -> None:
    recorder = Recorder()
    use_mock_engine(recorder)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> None:
        resolved: dict[str, Any] = dict(arguments)
        if arguments.get("dns_names") == "awaited":
            resolved["dns_names"] = pulumi.Output.from_input(["later"])
        plain_text = pulumi.Output.from_input("CA")
        authority = CertificateAuthority(
            certificate=plain_text, private_key=pulumi.Output.secret("KEY"), expiry=plain_text
        )
        Certificate("one", authority, "somebody", hours=10, renew_before=2, **resolved)

    program()

    assert [(each.typ.rpartition(":")[2], each.name) for each in recorder.resources] == [
        ("Certificate", "one"),
        ("PrivateKey", "one-key"),
        ("CertRequest", "one-request"),
        ("LocallySignedCert", "one-certificate"),
    ]
    (request,) = recorder.inputs_of("CertRequest").values()
    (signed,) = recorder.inputs_of("LocallySignedCert").values()
    assert request["subject"] == {"commonName": "somebody"}
    assert (request.get("dnsNames"), request.get("ipAddresses")) == (dns_names, addresses)
    assert (signed["isCaCertificate"], signed["allowedUses"]) == (issuer, uses)
    assert (signed["validityPeriodHours"], signed["earlyRenewalHours"]) == (10, 2)
