"""Checks of the running Linkerd's configuration, which one request reads for all of them."""

from __future__ import annotations

from collections.abc import Iterator

from mesh.kube.client import KubeClient
from mesh.kube.json_access import as_mapping, as_text
from mesh.preflight import linkerd_domains, upgrade_path
from mesh.preflight.finding import Finding
from mesh.preflight.target import CheckTarget


def check(target: CheckTarget, client: KubeClient) -> Iterator[Finding]:
    """Yield findings about a running Linkerd that an update cannot change to the one in the stack file."""
    namespace = target.control_plane_namespace
    path = f"/api/v1/namespaces/{namespace}/configmaps/linkerd-config"
    config_map = client.get(path, f"which Linkerd runs in namespace {namespace}, and its domains")
    values = as_text(as_mapping(config_map, "data").get("values"))
    yield from upgrade_path.check(target, values)
    yield from linkerd_domains.check(target, values)
