"""Changes of a stack that would end requests while one `up` makes them, from the settings and the stack state.

Two kinds of changes have no order that keeps requests alive:

* A gateway's Service loses the address or the port that mirrors in other clusters still use.
* A link no longer mirrors services with the label that they have, and did not mirror those with the new label before.

`mesh.preflight.traffic_change` refuses them. If only the order of link and label matters, the link's component changes
the label first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.config import ClusterSettings, Settings
from mesh.gateway_spec import gateway_values
from mesh.kube.constants import EXPORTED_LABEL
from mesh.kube.json_access import as_mapping, as_text
from mesh.pulumi_constants import HELM_RELEASE_TYPE, SERVICE_EXPORT_TYPE
from mesh.stack_state import StateResource
from mesh.topology import Link

_LINK_TYPE_SUFFIX = ":Link"
LabelValues = frozenset[str]  # values of the export label


@dataclass(frozen=True, kw_only=True)
class LostGateway:
    """A gateway that no longer answers at the address in the links to it."""

    source: str
    target: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ExportSwitch:
    """An export whose label changes."""

    target: str  # cluster of the Service
    namespace: str
    service: str
    former: str
    value: str


@dataclass(frozen=True, kw_only=True)
class TrafficChanges:
    """Changes of a stack that need an order of their own, or two updates."""

    lost_gateways: Sequence[LostGateway] = ()
    early_switches: Sequence[ExportSwitch] = ()  # labels to change before the links
    refused_switches: Sequence[ExportSwitch] = ()


def find_traffic_changes(stack: Settings, state: Sequence[StateResource]) -> TrafficChanges:
    """Return the changes from a stack state to the settings that end requests.

    Args:
        stack: the settings.
        state: the resources of the stack state.
    """
    links = {(source, target): spec for source, target, spec in _list_links(state)}
    if not links:
        return TrafficChanges()
    early: list[ExportSwitch] = []
    refused: list[ExportSwitch] = []
    for switch in _list_switches(stack, state):
        common = [
            (_selected_by_spec(links[link.source, link.target]), _selected_by_link(stack, link))
            for link in stack.links
            if link.target == switch.target and (link.source, link.target) in links
        ]
        # A link is changed before the labels, unless its hook changes them first.
        if all({switch.former, switch.value} <= after for _, after in common):
            continue
        is_possible = all(switch.value in before & after for before, after in common)
        (early if is_possible else refused).append(switch)
    return TrafficChanges(
        lost_gateways=list(_list_lost_gateways(stack, state, links)),
        early_switches=early,
        refused_switches=refused,
    )


def _list_links(state: Sequence[StateResource]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the source, the target and the spec of each Link in the stack state."""
    for resource in state:
        if resource.type.endswith(_LINK_TYPE_SUFFIX) and resource.provider is not None:
            source = resource.provider.rsplit("::", 1)[1]
            target = as_text(as_mapping(resource.inputs, "metadata").get("name"))
            yield source, target, as_mapping(resource.inputs, "spec")


def _list_switches(stack: Settings, state: Sequence[StateResource]) -> Iterator[ExportSwitch]:
    for resource in state:
        if resource.type != SERVICE_EXPORT_TYPE or resource.inputs.get("label") != EXPORTED_LABEL:
            continue
        target, namespace, service, former = (
            as_text(resource.inputs.get(key)) for key in ("cluster", "namespace", "service", "value")
        )
        for sample in stack.samples:
            mode = sample.export_modes.get(target)
            if mode is None or not resource.name.startswith(f"{target}-{namespace}-{sample.name}-"):
                continue
            value = "true" if mode == "gateway" else mode
            if sample.config.namespace == namespace and value != former:
                yield ExportSwitch(target=target, namespace=namespace, service=service, former=former, value=value)


def _selected_by_spec(spec: Mapping[str, Any]) -> LabelValues:
    """Return the values of the export label that a Link in the stack state mirrors."""
    has_gateway = bool(spec.get("gatewayAddress"))
    selectors = [spec.get("selector")] if has_gateway else []
    selectors.append(spec.get("remoteDiscoverySelector"))
    return _label_values([as_mapping(each, "matchLabels") for each in selectors])


def _selected_by_link(stack: Settings, link: Link) -> LabelValues:
    """Return the values of the export label that a link of the settings mirrors."""
    selectors = stack.options(link).selectors
    selected = [selectors.gateway] if link.has_gateway else []
    if link.has_remote_discovery:
        selected.append(selectors.remote_discovery)
    return _label_values(selected)


def _label_values(selectors: Sequence[Mapping[str, str]]) -> LabelValues:
    return frozenset(each[EXPORTED_LABEL] for each in selectors if EXPORTED_LABEL in each)


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
        if reason is None or not cluster.has_multicluster:
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
    default_port = gateway_values(cluster)["port"]
    former_service_port = _number(former.get("port", 4143))
    if former_service_port != default_port:
        return f"the gateway's port changes from {former_service_port} to {default_port}"
    return None


def _number(value: Any) -> Any:
    # The stack state has each number as a float.
    return int(value) if isinstance(value, float) else value
