"""Check of the trust anchors of running proxies against the anchor that the update applies.

A proxy trusts the anchors that it was started with. If the control plane changes to another anchor, the proxy loses all
connections until its pod is re-created.
Follows https://linkerd.io/2/tasks/manually-rotating-control-plane-tls-credentials/.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError
from mesh.kube.json_access import as_mapping, as_text
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

_SETTING = "trust.anchor"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding if the stack's own Linkerd trusts none of the anchors that the update applies."""
    live, desired = _read_trusted_anchors(target, client), _certificates(target.trust_anchor or "")
    if not live or not desired.isdisjoint(live):
        return
    if target.trust_anchor is None:
        value, remedy = (
            "not set",
            "restore the stack state that has it (pulumi stack import), or set trust.anchor to it",
        )
    else:
        value, remedy = _format_certificates(desired), "restore that anchor"
    yield Finding(
        path=_SETTING,
        value=value,
        rule=f"the proxies of {target.path} trust another anchor ({_format_certificates(live)}) and would be cut off",
        remedy=f"{remedy}, or destroy the stack first to build a mesh with another one",
        severity=Severity.ERROR,
    )


def check_adopted_linkerd(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding if a Linkerd to adopt does not trust exactly the user's anchors."""
    live, desired = _read_trusted_anchors(target, client), _certificates(target.trust_anchor or "")
    # Without an anchor, the stack would generate one, which the live Linkerd cannot trust.
    if not live and target.trust_anchor is not None:
        raise NotReadableError(f"{_subject(target)} (ConfigMap linkerd-identity-trust-roots has none)")
    if live and desired == live:
        return
    anchors = f" ({_format_certificates(live)})" if live else ""
    yield Finding(
        path=_SETTING,
        value=_format_certificates(desired) if target.trust_anchor is not None else "not set",
        rule=(
            f"the proxies of the Linkerd that {target.path}.adopt adopts trust another anchor"
            f"{anchors} and would be cut off"
        ),
        remedy="provide that anchor and an issuer that it has signed (trust.anchor, trust.issuers)",
        severity=Severity.ERROR,
    )


def _read_trusted_anchors(target: CheckTarget, client: KubeClient) -> frozenset[str]:
    """Return the anchors of new proxies in the control plane's namespace; empty if there is no Linkerd."""
    path = f"/api/v1/namespaces/{target.control_plane_namespace}/configmaps/linkerd-identity-trust-roots"
    return _certificates(as_text(as_mapping(client.get(path, _subject(target)), "data").get("ca-bundle.crt")))


def _subject(target: CheckTarget) -> str:
    return f"the trust anchor of Linkerd in namespace {target.control_plane_namespace}"


def _certificates(pem: str) -> frozenset[str]:
    return frozenset("".join(block.split()) for block in _PEM.findall(pem))


def _format_certificates(certificates: frozenset[str]) -> str:
    """Return the beginnings of the certificates' fingerprints, which a person can compare."""
    return ", ".join(sorted(f"SHA-256 {_fingerprint(one)[:16]}..." for one in certificates)) or "no certificate"


def _fingerprint(certificate: str) -> str:
    try:
        return hashlib.sha256(base64.b64decode(certificate)).hexdigest()
    except ValueError:
        return "(unreadable)"
