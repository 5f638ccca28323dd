"""Check for gRPC probes that a policy would refuse.

Linkerd authorizes the HTTP probes of a port with a Server, because their paths are in the pod, but no gRPC probes. The
kubelet has no identity. So the pods would never be ready again.

Follows https://linkerd.io/2/reference/authorization-policy/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mesh.kube.client import KubeClient
from mesh.kube.json_access import as_count, as_mapping, as_mappings, as_text
from mesh.preflight.finding import Finding, Severity
from mesh.preflight.service_reader import DeclaredObjects, list_pods, parse_service
from mesh.preflight.target import CheckTarget
from mesh.service_ports import select_ports

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def check(target: CheckTarget, live: DeclaredObjects, client: KubeClient) -> Iterator[Finding]:
    """Yield a finding for each declared service whose policy would refuse a gRPC probe.

    Args:
        target: the cluster.
        live: the declared Services and namespaces that exist.
        client: the cluster's client.
    """
    for service in target.declared.services:
        body = live.services.get((service.namespace, service.name))
        if body is None or not service.has_policy or service.allows_networks:
            continue
        facts = parse_service(body)
        targets = {port.target for port in select_ports(service.ports, facts)}
        pods = list_pods(client, service.key, service.namespace, facts)
        probed = sorted({port for pod in pods for port in _list_probed_ports(pod, targets)})
        if probed:
            yield Finding(
                path=f"{service.path}.allow",
                value=target.name,
                rule=f"its pods have a gRPC probe on port {probed[0]}, and the policy would refuse it, because the "
                "kubelet has no identity",
                remedy="add `{ networks: [<networks of the nodes>] }` to allow, or use an httpGet or exec probe",
                severity=Severity.ERROR,
            )


def _list_probed_ports(pod: Mapping[str, Any], targets: set[int | str]) -> Iterator[int]:
    """Yield the ports among the targets that gRPC probes of a pod use."""
    for container in as_mappings(as_mapping(dict(pod), "spec").get("containers")):
        names = {
            as_text(each.get("name")): as_count(each.get("containerPort"))
            for each in as_mappings(container.get("ports"))
        }
        numbers = {names.get(each) if isinstance(each, str) else each for each in targets}
        for probe in _PROBES:
            port = as_mapping(container, probe, "grpc").get("port")
            if isinstance(port, int) and port in numbers:
                yield port
