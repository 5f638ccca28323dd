"""An anchor and an issuer that Linkerd takes, and which rules others break."""

from __future__ import annotations

from mesh import certificate_validation
from tests.helpers.certificate_authority import NOW, LocalAuthority

NAME = "identity.linkerd.cluster.local"

ANCHOR = LocalAuthority()
ISSUER = LocalAuthority(name=NAME, signer=ANCHOR, path_length=0)


def anchor_rules(certificate: str) -> list[str]:
    return [finding.rule for finding in certificate_validation.anchor_findings(certificate, now=NOW)]


def issuer_rules(certificate: str, key: str, *, anchor: str, common_name: str | None = NAME) -> list[str]:
    findings = certificate_validation.issuer_findings(certificate, key, anchor=anchor, common_name=common_name, now=NOW)
    return [finding.rule for finding in findings]
