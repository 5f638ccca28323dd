"""A valid trust anchor and issuer, and the rules that other certificates violate."""

from __future__ import annotations

from mesh import certificate_validation
from tests.helpers.certificates import NOW, IssuedCertificate

ISSUER_NAME = "identity.linkerd.cluster.local"

ANCHOR = IssuedCertificate()
ISSUER = IssuedCertificate(name=ISSUER_NAME, signer=ANCHOR, path_length=0)


def violated_anchor_rules(certificate: str) -> list[str]:
    """Return the rules that a trust anchor violates."""
    return [finding.rule for finding in certificate_validation.check_anchor(certificate, now=NOW)]


def violated_issuer_rules(
    certificate: str, key: str, *, anchor: str, common_name: str | None = ISSUER_NAME
) -> list[str]:
    """Return the rules that an issuer violates."""
    findings = certificate_validation.check_issuer(certificate, key, anchor=anchor, common_name=common_name, now=NOW)
    return [finding.rule for finding in findings]
