"""Services of type LoadBalancer without an address."""

from __future__ import annotations

from mesh.kube.json_access import as_text
from mesh.readiness.cause import Cause
from mesh.readiness.cluster_reader import event_message
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scope import Scope

_GATEWAY_CHART = "linkerd-multicluster"


def diagnose_load_balancer(scope: Scope) -> tuple[str, list[Cause]]:
    """Return the summary and the causes for a Service that waits for an address."""
    events = scope.reader.list_events(scope.live)
    event = next((each for each in events if each.get("type") == "Warning"), None)
    load_balancer_class = as_text(scope.spec.get("loadBalancerClass"))
    if event is not None:
        reason, message = as_text(event.get("reason")), event_message(event)
    elif events:
        reason, message = as_text(events[0].get("reason")), event_message(events[0])
    else:
        reason, message = "Pending", "no load balancer has handled the Service: the cluster may have none"
        if load_balancer_class:
            message = f"no load balancer has handled class {quote_name(load_balancer_class)}"
    return "no address", [
        Cause(
            subject=f"Service {scope.name}",
            reason=quote_name(reason) or "Pending",
            message=quote(message),
            remedy=_find_remedy(scope, reason),
        )
    ]


def _find_remedy(scope: Scope, reason: str) -> str:
    settings = scope.settings
    if reason == "AllocationFailed":  # MetalLB
        repair = f"add addresses to `extensions.metallb.pools.{settings.cluster}`"
    else:
        repair = "install or repair the cluster's load balancer (`extensions.metallb` installs MetalLB)"
    if settings.chart == _GATEWAY_CHART:
        gateway = f"clusters.{settings.cluster}.gateway"
        return (
            f"{repair}; or use another address: set `{gateway}.nodePort` or `{gateway}.addresses`; or do not wait: set "
            f"`{gateway}.loadBalancer.await: false`"
        )
    if settings.chart == "cilium":
        return f"{repair}; or set `clusters.{settings.cluster}.cilium.service: NodePort`"
    if settings.chart == "ingress-nginx":
        return f"{repair}; or set controller.service.type: NodePort in {settings.values}"
    return repair
