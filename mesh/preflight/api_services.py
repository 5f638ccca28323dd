"""Check for unavailable aggregated APIs, which block the deletion of every namespace."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.api_services import API_SERVICES_PATH, find_unavailable_apis
from mesh.kube.client import KubeClient
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.target import CheckTarget


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield a warning for each unavailable API: an update that deletes no namespace can succeed."""
    api_services = client.get(API_SERVICES_PATH, "whether all aggregated APIs are available") or {}
    for api in find_unavailable_apis(api_services):
        rule = f"the API is unavailable, so the cluster deletes no namespace until it is available ({api.cause})"
        yield target.finding(rule, api.remedy, value=f"APIService {api.name}", severity=Severity.WARNING)
