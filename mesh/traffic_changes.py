"""Changes of a stack that would end requests while one `up` makes them, from the settings and the stack state.

Three kinds of changes have no order that keeps requests alive:

* A gateway's Service loses the address or the port that mirrors in other clusters still use.
* An export changes from the gateway to remote discovery. Linkerd's destination controller chooses the kind of endpoints
  when a proxy begins to use a mirror. So a busy client would keep the gateway's endpoints, which are deleted.
* An export becomes a member of a federated service. Linkerd's controllers ignore the membership of a Service that is
  exported, and the export is deleted last.

`mesh.preflight.traffic_change` refuses them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.config import ClusterSettings, DeclaredService, Sample, Settings
from mesh.gateway_spec import DEFAULT_PORT, gateway_values
from mesh.kube.constants import EXPORTED_LABEL
from mesh.kube.json_access import as_mapping, as_text
from mesh.pulumi_constants import HELM_RELEASE_TYPE, SERVICE_EXPORT_TYPE
from mesh.stack_state import StateResource

_LINK_TYPE_SUFFIX = ":Link"


@dataclass(frozen=True, kw_only=True)
class LostGateway:
    """A gateway that no longer answers at the address in the links to it."""

    source: str
    target: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ExportSwitch:
    """An export whose mode cannot change in one update."""

    target: str  # cluster of the Service
    namespace: str
    service: str
    mode: str  # as in the settings: gateway, remote-discovery or federated


@dataclass(frozen=True, kw_only=True)
class TrafficChanges:
    """Changes of a stack that need two updates."""

    lost_gateways: Sequence[LostGateway] = ()
    switches: Sequence[ExportSwitch] = ()


def find_traffic_changes(stack: Settings, state: Sequence[StateResource]) -> TrafficChanges:
    """Return the changes from a stack state to the settings that end requests.

    Args:
        stack: the settings.
        state: the resources of the stack state.
    """
    links = {(source, target): spec for source, target, spec in _list_links(state)}
    return TrafficChanges(
        lost_gateways=list(_list_lost_gateways(stack, state, links)),
        switches=list(_list_switches(stack, state, links.keys())),
    )


def _list_links(state: Sequence[StateResource]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the source, the target and the spec of each Link in the stack state."""
    for resource in state:
        if resource.type.endswith(_LINK_TYPE_SUFFIX) and resource.provider is not None:
            source = resource.provider.rsplit("::", 1)[1]
            target = as_text(as_mapping(resource.inputs, "metadata").get("name"))
            yield source, target, as_mapping(resource.inputs, "spec")


def _list_switches(
    stack: Settings, state: Sequence[StateResource], links: Collection[tuple[str, str]]
) -> Iterator[ExportSwitch]:
    """Yield the exports whose mode cannot change in one update.

    Args:
        stack: the settings.
        state: the resources of the stack state.
        links: source and target of each Link in the stack state.
    """
    for resource in state:
        if resource.type != SERVICE_EXPORT_TYPE or resource.inputs.get("label") != EXPORTED_LABEL:
            continue
        target, namespace, service, former = (
            as_text(resource.inputs.get(key)) for key in ("cluster", "namespace", "service", "value")
        )
        common_links = [link for link in stack.links if link.target == target and (link.source, link.target) in links]
        for settings in _find_exporters(stack, resource) if common_links else ():
            mode = settings.export_modes.get(target)
            loses_remote_discovery = not all(link.has_remote_discovery for link in common_links)
            is_refused = (
                (mode is None and target in settings.config.federated)
                or (mode == "remote-discovery" and former == "true")
                # The links change first. A link without remote discovery deletes the mirrors.
                or (mode == "gateway" and former == "remote-discovery" and loses_remote_discovery)
            )
            if is_refused:
                yield ExportSwitch(target=target, namespace=namespace, service=service, mode=mode or "federated")


def _find_exporters(stack: Settings, resource: StateResource) -> Iterator[Sample | DeclaredService]:
    """Yield the samples and declared services whose Service an export in the stack state is of."""
    target, namespace, service = (as_text(resource.inputs.get(key)) for key in ("cluster", "namespace", "service"))
    for sample in stack.samples:
        if resource.name.startswith(f"{target}-{namespace}-{sample.name}-") and sample.config.namespace == namespace:
            yield sample
    for declared in stack.services:
        if (declared.namespace, declared.name) == (namespace, service) and target in declared.clusters:
            yield declared


def _list_lost_gateways(
    stack: Settings, state: Sequence[StateResource], links: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Iterator[LostGateway]:
    former = {
        resource.name.removesuffix("-multicluster"): as_mapping(resource.inputs, "values", "gateway")
        for resource in state
        if resource.type == HELM_RELEASE_TYPE and resource.name.endswith("-multicluster")
    }
    for cluster in stack.clusters:
        reason = find_lost_gateway(former.get(cluster.name, {}), cluster)
        # Nothing changes on a cluster that cannot be reached.
        if reason is None or not cluster.has_multicluster or not cluster.reachable:
            continue
        for (source, target), spec in links.items():
            if target == cluster.name and spec.get("gatewayAddress"):
                yield LostGateway(source=source, target=target, reason=reason)


def find_lost_gateway(former: Mapping[str, Any], cluster: ClusterSettings) -> str | None:
    """Return why a gateway no longer answers as before, or None if it does.

    Args:
        former: value `gateway` of the release linkerd-multicluster in the stack state.
        cluster: settings of the cluster.
    """
    if not former.get("enabled"):
        return None
    service_type = cluster.gateway_exposure.service_type
    if service_type is None:
        return "the gateway is removed"
    former_type = former.get("serviceType")
    if former_type == "LoadBalancer" and service_type != "LoadBalancer":
        return "the gateway loses its load balancer"
    node_port = cluster.gateway.node_port
    former_port, port = former.get("nodePort"), node_port.port if node_port is not None else None
    # A Service that becomes a LoadBalancer keeps its node ports.
    if former_type == "NodePort" and service_type != "LoadBalancer" and _number(former_port) != port:
        return f"the gateway's node port {_number(former_port)} is removed"
    service_port, former_service_port = gateway_values(cluster)["port"], _number(former.get("port", DEFAULT_PORT))
    if former_service_port != service_port:
        return f"the gateway's port changes from {former_service_port} to {service_port}"
    return None


def _number(value: Any) -> Any:
    # The stack state has each number as a float.
    return int(value) if isinstance(value, float) else value
