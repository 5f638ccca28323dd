"""Is what the clusters export seen where it should be? Mirrors of each link, and federated services of each cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hack.make.check_result import CheckResult

EXPORTED = "mirror.linkerd.io/exported"
FEDERATED = "mirror.linkerd.io/federated=member"
_REMOTE = "multicluster.linkerd.io/remote-discovery"
_LOCAL = "multicluster.linkerd.io/local-discovery"

# One object by cluster, kind, name and namespace; an empty one where there is none.
Look = Callable[[str, str, str, str], Mapping[str, Any]]
# Namespace and name of each service of a cluster that a selector finds.
Services = Callable[[str, str], Sequence[tuple[str, str]]]
Told = tuple[bool, list[CheckResult]]


def mirrors(source: str, target: str, look: Look, services: Services) -> Told:
    """Every service that the target exports through its gateway is in the source, with the gateway as its endpoint."""
    link = look(source, "links.multicluster.linkerd.io", target, "linkerd-multicluster")
    gateway = link.get("spec", {}).get("gatewayAddress", "none")
    faults = []
    exported = services(target, f"{EXPORTED}=true")
    for namespace, name in exported:
        mirror = f"{name}-{target}"
        if not look(source, "services", mirror, namespace):
            faults.append(f"{namespace}/{mirror} is missing")
            continue
        subsets = look(source, "endpoints", mirror, namespace).get("subsets") or []
        addresses = {address["ip"] for subset in subsets for address in subset.get("addresses") or []}
        if not addresses:
            faults.append(f"{namespace}/{mirror} has no endpoint")
        elif re.fullmatch(r"[0-9.,]+", gateway) and addresses != set(gateway.split(",")):
            faults.append(f"{namespace}/{mirror} has {', '.join(sorted(addresses))} in place of {gateway}")
    return _row(f"{source} → {target}", "mirrors", faults, f"{_named(exported, f'-{target}')} at {gateway}")


def discovered(source: str, target: str, look: Look, services: Services) -> Told:
    """Every service that the target exports for remote discovery is in the source, to be looked up in the target."""
    exported = services(target, f"{EXPORTED}=remote-discovery")
    faults = []
    for namespace, name in exported:
        labels = look(source, "services", f"{name}-{target}", namespace).get("metadata", {}).get("labels") or {}
        if labels.get(_REMOTE) != target:
            faults.append(f"{namespace}/{name}-{target} is missing")
    return _row(f"{source} → {target}", "mirrors", faults, f"{_named(exported, f'-{target}')} at its pods")


def federated(cluster: str, targets: Iterable[str], look: Look, services: Services) -> Told:
    """Every federated service of a cluster has its own services and those of its targets as members, and no others."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for member in (cluster, *targets):
        for namespace, name in services(member, FEDERATED):
            # Controllers make none where there is no such namespace.
            if member == cluster or look(cluster, "namespaces", namespace, "default"):
                wanted.setdefault((namespace, name), set()).add(member)
    if not wanted:
        return True, []
    faults = []
    for (namespace, name), members in wanted.items():
        metadata = look(cluster, "services", f"{name}-federated", namespace).get("metadata", {})
        annotations = metadata.get("annotations") or {}
        remote = (annotations.get(_REMOTE) or "").split(",")
        found = {member.partition("@")[2] for member in remote if member.startswith(f"{name}@")}
        found |= {cluster} if annotations.get(_LOCAL) == name else set()
        if not metadata:
            faults.append(f"{namespace}/{name}-federated is missing")
        elif found != members:
            shown = ", ".join(sorted(found)) or "no members"
            faults.append(f"{namespace}/{name}-federated has {shown} in place of {', '.join(sorted(members))}")
    seen = ", ".join(
        f"{namespace}/{name}-federated of {', '.join(sorted(members))}" for (namespace, name), members in wanted.items()
    )
    return _row(cluster, "federated services", faults, seen)


def _named(exported: Sequence[tuple[str, str]], suffix: str) -> str:
    return ", ".join(f"{namespace}/{name}{suffix}" for namespace, name in exported) or "nothing is exported"


def _row(subject: str, check: str, faults: Sequence[str], otherwise: str) -> Told:
    return not faults, [
        CheckResult(subject=subject, check=check, passed=not faults, detail="; ".join(faults) or otherwise)
    ]
