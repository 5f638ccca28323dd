"""Whether the cluster gives a LoadBalancer Service an address, as far as can be seen without making one."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from mesh.kube.client import METADATA_MEDIA_TYPE, KubeClient
from mesh.kube.constants import CRDS_PATH
from mesh.kube.errors import to_single_line
from mesh.kube.json_access import mapping, mappings, text
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.network_overlap import NODES
from mesh.preflight.target import CheckTarget

_SERVICES = "/api/v1/services?limit=500"
_POOLS = ("ipaddresspools.metallb.io", "ciliumloadbalancerippools.cilium.io")
_WHAT = "whether a LoadBalancer Service gets an address"

# Seconds that an address may take; a cloud needs a minute or so.
_PATIENCE = 120
# Nodes that are containers or nothing at all. Others with a provider are a cloud's, or of k3s, which brings servicelb.
_WITHOUT = frozenset({"", "kind", "docker", "kwok"})


def check(question: CheckTarget, api: KubeClient, now: float) -> Iterator[Finding]:
    """Findings on the promise of a load balancer; `now` is the cluster's time, in seconds since 1970."""
    services = mappings((api.get(_SERVICES, _WHAT) or {}).get("items"))
    balanced = [service for service in services if mapping(service, "spec").get("type") == "LoadBalancer"]
    if any(_has_address(service) for service in balanced):
        return
    setting = "gateway.loadBalancer"
    remedy = (
        f"install one, or set {question.path}.{setting}: false (it can only be a link's source then) "
        f"or {question.path}.gateway.nodePort"
    )
    pending = [(age, service) for service in balanced if (age := _age(service, now)) > _PATIENCE]
    if pending:
        age, service = max(pending, key=lambda item: item[0])
        name = "/".join(to_single_line(mapping(service, "metadata").get(key, ""), 63) for key in ("namespace", "name"))
        rule = (
            f"a LoadBalancer Service without an address for {age / 60:.0f} minutes; `up` waits five for the gateway's"
        )
        yield question.finding(rule, remedy, value=f"service {name}", setting=setting, severity=Severity.WARNING)
        return
    nodes = mappings((api.get(NODES, _WHAT) or {}).get("items"))
    if any(_provider(node) not in _WITHOUT for node in nodes):
        return
    if any(api.get(f"{CRDS_PATH}/{pool}", _WHAT, METADATA_MEDIA_TYPE) is not None for pool in _POOLS):
        return
    rule = "nothing seen here gives a LoadBalancer Service an address; `up` waits five minutes for the gateway's"
    yield question.finding(rule, remedy, value="true", setting=setting, severity=Severity.WARNING)


def _has_address(service: dict[str, Any]) -> bool:
    ingress = mappings(mapping(service, "status", "loadBalancer").get("ingress"))
    return any(entry.get("ip") or entry.get("hostname") for entry in ingress)


def _age(service: dict[str, Any], now: float) -> float:
    created = text(mapping(service, "metadata").get("creationTimestamp"))
    try:
        made = datetime.datetime.fromisoformat(created)
        return now - (made if made.tzinfo else made.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0


def _provider(node: dict[str, Any]) -> str:
    return text(mapping(node, "spec").get("providerID")).partition("://")[0]
