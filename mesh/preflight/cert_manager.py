"""Check for cert-manager, if it renews the issuer."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.client import KubeClient
from mesh.kube.json_access import as_mappings, as_text
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget

_REQUIRED_RESOURCES = ("certificates", "issuers")


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding if the cluster does not serve cert-manager's v1 resources."""
    # Every user may read the served resources, unlike the CRDs; they also show a version that is too old.
    resource_list = client.get("/apis/cert-manager.io/v1", "whether cert-manager is installed") or {}
    names = {as_text(resource.get("name")) for resource in as_mappings(resource_list.get("resources"))}
    missing = [f"{name}.cert-manager.io" for name in _REQUIRED_RESOURCES if name not in names]
    if missing:
        rule = "trust.certManager renews the issuer, but the cluster has no such v1 resources"
        remedy = "install cert-manager 1.0 or newer on the cluster first, or remove trust.certManager"
        yield target.finding(rule, remedy, value=", ".join(missing))
