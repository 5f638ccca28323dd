"""Whether cert-manager is there, where it is to renew the issuer."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.client import KubeClient
from mesh.kube.json_access import mappings, text
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget

_NEEDED = ("certificates", "issuers")


def check(question: CheckTarget, api: KubeClient) -> Iterator[Finding]:
    """Findings on cert-manager's CRDs."""
    # What is served, instead of the CRDs themselves: everybody may look, and it tells a version that is too old.
    served = api.get("/apis/cert-manager.io/v1", "whether cert-manager is installed") or {}
    names = {text(resource.get("name")) for resource in mappings(served.get("resources"))}
    missing = [f"{name}.cert-manager.io" for name in _NEEDED if name not in names]
    if missing:
        rule = "trust.certManager is to renew the issuer, but this cluster has no such v1 resources"
        remedy = "install cert-manager 1.0 or newer there first, or leave trust.certManager out"
        yield question.finding(rule, remedy, value=", ".join(missing))
