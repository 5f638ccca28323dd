"""Check for a load balancer, from the cluster's Services, nodes and CRDs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from mesh.kube.client import METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CRDS_PATH
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import as_mapping, as_mappings, as_text
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.network_overlap import NODES_PATH
from mesh.preflight.target import CheckTarget

_SERVICES_PATH = "/api/v1/services?limit=500"
_POOL_CRDS = ("ipaddresspools.metallb.io", "ciliumloadbalancerippools.cilium.io")
_SUBJECT = "whether a LoadBalancer Service gets an address"

# A cloud needs about a minute.
_ADDRESS_TIMEOUT_S = 120
# Providers whose nodes are containers or simulated. Other providers are clouds, or k3s, which contains servicelb.
_PROVIDERS_WITHOUT_LOAD_BALANCER = frozenset({"", "kind", "docker", "kwok"})


def check(target: CheckTarget, client: KubeClient, now: float) -> Iterator[Finding]:
    """Yield a finding if no load balancer is detected.

    Args:
        target: the cluster.
        client: its client.
        now: the cluster's time, in seconds since 1970.
    """
    all_services = as_mappings((client.get(_SERVICES_PATH, _SUBJECT) or {}).get("items"))
    services = [service for service in all_services if as_mapping(service, "spec").get("type") == "LoadBalancer"]
    if any(_has_address(service) for service in services):
        return
    setting = "gateway.loadBalancer"
    remedy = (
        f"install a load balancer, or set {target.path}.{setting}: false (the cluster can then only be a link's "
        f"source) or {target.path}.gateway.nodePort"
    )
    pending = [(age_s, service) for service in services if (age_s := _age_s(service, now)) > _ADDRESS_TIMEOUT_S]
    if pending:
        age_s, service = max(pending, key=lambda item: item[0])
        metadata = as_mapping(service, "metadata")
        name = "/".join(to_single_line(metadata.get(key, ""), 63) for key in ("namespace", "name"))
        rule = (
            f"a LoadBalancer Service without an address for {age_s / 60:.0f} minutes, and `up` waits for the gateway's "
            f"address, up to {target.path}.timeouts.ready"
        )
        yield target.finding(rule, remedy, value=f"service {name}", setting=setting, severity=Severity.WARNING)
        return
    nodes = as_mappings((client.get(NODES_PATH, _SUBJECT) or {}).get("items"))
    if any(_provider(node) not in _PROVIDERS_WITHOUT_LOAD_BALANCER for node in nodes):
        return
    if any(client.get(f"{CRDS_PATH}/{crd}", _SUBJECT, METADATA_MEDIA_TYPE) is not None for crd in _POOL_CRDS):
        return
    rule = (
        f"no load balancer was detected, and `up` waits for the gateway's address, up to {target.path}.timeouts.ready"
    )
    yield target.finding(rule, remedy, value="true", setting=setting, severity=Severity.WARNING)


def _has_address(service: dict[str, Any]) -> bool:
    ingress = as_mappings(as_mapping(service, "status", "loadBalancer").get("ingress"))
    return any(entry.get("ip") or entry.get("hostname") for entry in ingress)


def _age_s(service: dict[str, Any], now: float) -> float:
    timestamp = as_text(as_mapping(service, "metadata").get("creationTimestamp"))
    try:
        created = datetime.datetime.fromisoformat(timestamp)
        return now - (created if created.tzinfo else created.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0


def _provider(node: dict[str, Any]) -> str:
    return as_text(as_mapping(node, "spec").get("providerID")).partition("://")[0]
