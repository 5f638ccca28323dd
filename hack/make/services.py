"""Checks of exported services: the mirrors of each link, and the federated services of each cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hack.make.check_result import CheckResult
from mesh.kube.constants import EXPORTED_LABEL, FEDERATED_LABEL, LOCAL_DISCOVERY, REMOTE_DISCOVERY

FEDERATED_SELECTOR = f"{FEDERATED_LABEL}=member"

# Read one object by cluster, kind, name and namespace; an empty mapping if there is none.
ReadObject = Callable[[str, str, str, str], Mapping[str, Any]]
# List namespace and name of a cluster's services that a label selector matches.
ListServices = Callable[[str, str], Sequence[tuple[str, str]]]
# Whether the check has passed, and its rows.
CheckOutcome = tuple[bool, list[CheckResult]]


def check_gateway_mirrors(
    source: str, target: str, read_object: ReadObject, list_services: ListServices
) -> CheckOutcome:
    """Check that the source mirrors every exported service of the target, with the gateway as its endpoint."""
    link = read_object(source, "links.multicluster.linkerd.io", target, "linkerd-multicluster")
    gateway = link.get("spec", {}).get("gatewayAddress", "none")
    problems = []
    exported = list_services(target, f"{EXPORTED_LABEL}=true")
    for namespace, name in exported:
        mirror = f"{name}-{target}"
        if not read_object(source, "services", mirror, namespace):
            problems.append(f"{namespace}/{mirror} is missing")
            continue
        subsets = read_object(source, "endpoints", mirror, namespace).get("subsets") or []
        addresses = {address["ip"] for subset in subsets for address in subset.get("addresses") or []}
        if not addresses:
            problems.append(f"{namespace}/{mirror} has no endpoint")
        elif re.fullmatch(r"[0-9.,]+", gateway) and addresses != set(gateway.split(",")):
            problems.append(f"{namespace}/{mirror} has {', '.join(sorted(addresses))} in place of {gateway}")
    return _outcome(f"{source} → {target}", "mirrors", problems, f"{_join_names(exported, f'-{target}')} at {gateway}")


def check_flat_mirrors(source: str, target: str, read_object: ReadObject, list_services: ListServices) -> CheckOutcome:
    """Check that the source mirrors every service that the target exports without a gateway."""
    exported = list_services(target, f"{EXPORTED_LABEL}=remote-discovery")
    problems = []
    for namespace, name in exported:
        mirror = f"{name}-{target}"
        labels = read_object(source, "services", mirror, namespace).get("metadata", {}).get("labels") or {}
        if labels.get(REMOTE_DISCOVERY) != target:
            problems.append(f"{namespace}/{mirror} is missing")
    return _outcome(f"{source} → {target}", "mirrors", problems, f"{_join_names(exported, f'-{target}')} at its pods")


def check_federated_services(
    cluster: str, targets: Iterable[str], read_object: ReadObject, list_services: ListServices
) -> CheckOutcome:
    """Check that each federated service has the members of the cluster and of its targets, and no others."""
    desired: dict[tuple[str, str], set[str]] = {}
    for member in (cluster, *targets):
        for namespace, name in list_services(member, FEDERATED_SELECTOR):
            # Linkerd's controllers skip a namespace that the cluster does not have.
            if member == cluster or read_object(cluster, "namespaces", namespace, "default"):
                desired.setdefault((namespace, name), set()).add(member)
    if not desired:
        return True, []
    problems = []
    for (namespace, name), members in desired.items():
        metadata = read_object(cluster, "services", f"{name}-federated", namespace).get("metadata", {})
        annotations = metadata.get("annotations") or {}
        remote = (annotations.get(REMOTE_DISCOVERY) or "").split(",")
        live = {member.partition("@")[2] for member in remote if member.startswith(f"{name}@")}
        live |= {cluster} if annotations.get(LOCAL_DISCOVERY) == name else set()
        if not metadata:
            problems.append(f"{namespace}/{name}-federated is missing")
        elif live != members:
            member_names = ", ".join(sorted(live)) or "no members"
            problems.append(f"{namespace}/{name}-federated has {member_names} in place of {', '.join(sorted(members))}")
    federated = ", ".join(
        f"{namespace}/{name}-federated of {', '.join(sorted(members))}"
        for (namespace, name), members in desired.items()
    )
    return _outcome(cluster, "federated services", problems, federated)


def _join_names(exported: Sequence[tuple[str, str]], suffix: str) -> str:
    return ", ".join(f"{namespace}/{name}{suffix}" for namespace, name in exported) or "nothing is exported"


def _outcome(subject: str, check: str, problems: Sequence[str], success: str) -> CheckOutcome:
    return not problems, [
        CheckResult(subject=subject, check=check, passed=not problems, detail="; ".join(problems) or success)
    ]
