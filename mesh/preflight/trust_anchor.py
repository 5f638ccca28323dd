"""Whether the proxies that run on a cluster would go on trusting one another.

A proxy trusts the anchors that it was started with. One whose control plane gets others is cut off until its pod is
made anew.
Follows https://linkerd.io/2/tasks/manually-rotating-control-plane-tls-credentials/.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

from mesh.kube.client import KubeClient
from mesh.kube.errors import NotReadableError
from mesh.kube.json_access import mapping, text
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget

_PATH = "trust.anchor"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


def check(question: CheckTarget, api: KubeClient) -> Iterator[Finding]:
    """Findings on this stack's own Linkerd, for anchors that the user brought."""
    if question.trust_anchor is None:
        return
    theirs, ours = _trusted(question, api), _certificates(question.trust_anchor)
    if not theirs or not ours.isdisjoint(theirs):
        return
    yield Finding(
        path=_PATH,
        value=_shown(ours),
        rule=f"the proxies of {question.path} trust another anchor ({_shown(theirs)}) and would be cut off",
        remedy="bring that anchor back; for a mesh with another one, destroy the stack first",
        severity=Severity.ERROR,
    )


def check_adopted(question: CheckTarget, api: KubeClient) -> Iterator[Finding]:
    """Findings on a Linkerd that is to be taken over."""
    theirs, ours = _trusted(question, api), _certificates(question.trust_anchor or "")
    # Whatever it trusts, it can't be the anchor that this stack would make.
    if not theirs and question.trust_anchor is not None:
        raise NotReadableError(f"{_what(question)} (ConfigMap linkerd-identity-trust-roots has none)")
    if theirs and ours == theirs:
        return
    which = f" ({_shown(theirs)})" if theirs else ""
    yield Finding(
        path=_PATH,
        value=_shown(ours) if question.trust_anchor is not None else "not set",
        rule=(
            f"the proxies of the Linkerd that {question.path}.adopt takes over trust another anchor"
            f"{which} and would be cut off"
        ),
        remedy="bring that anchor and an issuer that it has signed (trust.anchor, trust.issuers)",
        severity=Severity.ERROR,
    )


def _trusted(question: CheckTarget, api: KubeClient) -> frozenset[str]:
    """What the proxies of the control plane's namespace are started with; nothing, where there is no Linkerd."""
    path = f"/api/v1/namespaces/{question.control_plane_namespace}/configmaps/linkerd-identity-trust-roots"
    return _certificates(text(mapping(api.get(path, _what(question)), "data").get("ca-bundle.crt")))


def _what(question: CheckTarget) -> str:
    return f"which anchor the Linkerd in namespace {question.control_plane_namespace} trusts"


def _certificates(pem: str) -> frozenset[str]:
    return frozenset("".join(block.split()) for block in _PEM.findall(pem))


def _shown(certificates: frozenset[str]) -> str:
    """Certificates by what a person can compare: the beginnings of their fingerprints."""
    return ", ".join(sorted(f"SHA-256 {_fingerprint(one)[:16]}..." for one in certificates)) or "no certificate"


def _fingerprint(certificate: str) -> str:
    try:
        return hashlib.sha256(base64.b64decode(certificate)).hexdigest()
    except ValueError:
        return "of nothing that is a certificate"
