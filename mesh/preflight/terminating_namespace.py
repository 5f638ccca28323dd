"""Check for a namespace of the stack that is Terminating, so that nothing can be created in it."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.client import KubeClient
from mesh.kube.terminating_namespaces import deletion_remedy, format_causes, is_terminating
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget


def check(target: CheckTarget, client: KubeClient, namespace: str) -> Iterator[Finding]:
    """Yield a finding with the causes that delay the deletion of a namespace."""
    live = client.get(f"/api/v1/namespaces/{namespace}", f"why namespace {namespace} is Terminating")
    if live is None or not is_terminating(live):
        return  # deleted since
    rule = f"is Terminating, so nothing can be created in it ({format_causes(live)})"
    remedy = f"{deletion_remedy(live)}, then run the command again"
    yield target.finding(rule, remedy, value=f"namespace {namespace}", severity=Severity.UPDATE_ERROR)
