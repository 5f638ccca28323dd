"""Order of the resources that requests depend on, so that no `up` loses a request.

The rule has three parts:

1. A referrer is created after its target is usable, and deleted before the target stops being usable.
2. A permission is created before the restriction that needs it, and deleted after the restriction.
3. A replacement is usable before the former object is deleted.

Pulumi creates a resource after its dependencies, deletes it before them, and deletes last of all. So each part is a
dependency. Four additions are needed:

* An object that exists is not yet usable: a service mirror creates a mirror some time after the export. A hook waits
  (`mesh.readiness.usable_services`), before the referrer is created or begins to use another target.
* Linkerd's controllers watch each kind on its own. A route can reach a proxy before the mirror that it names, although
  the mirror is older. On a busy machine, 1 of 843 requests failed. So the hook waits a little longer.
* A change that ends something must be a deletion, not an update. So an export is a resource of its own
  (`components.services.service_export`).
* Some changes need two updates, and are refused in one (`mesh.traffic_changes`).

`docs/traffic.md` lists the changes, and what each of them costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi

from components.cluster import Cluster
from components.sdk.hooks import HookStep, bind_step_hook, create_step_hook

# Imported here because hooks run after Pulumi has removed the program's folder from the import path.
from mesh.kube import client as kube_client
from mesh.readiness.usable_services import RequiredService, wait_for_usable_services

# Time after which Linkerd's controllers have received an object. No API shows what they have received.
PROPAGATION_S = 1.0


def refer_to(
    name: str,
    cluster: Cluster,
    targets: Sequence[pulumi.Resource],
    find_required: Callable[[HookStep], Sequence[RequiredService]],
) -> pulumi.ResourceOptions:
    """Return the options of a resource that refers to Services (part 1 of the rule).

    Args:
        name: name of the Pulumi resource.
        cluster: cluster of the resource.
        targets: resources that make the Services usable.
        find_required: returns the Services that must be usable before a step, such as those that the step adds.
    """

    def wait(step: HookStep) -> None:
        required = find_required(step)
        wait_on_cluster(cluster, name, required, step.report_status)
        if required:
            time.sleep(PROPAGATION_S)

    # Hidden dependencies: the names in a route do not depend on the resources that create the Services.
    return pulumi.ResourceOptions(depends_on=list(targets), hooks=wait_binding(name, wait))


def restrict_after(name: str, permissions: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
    """Return the options of a resource that restricts requests (part 2 of the rule).

    Args:
        name: name of the Pulumi resource.
        permissions: resources of other kinds that allow requests in spite of the restriction.
    """
    hook = pulumi.ResourceHook(f"{name}-wait", create_step_hook(lambda _: time.sleep(PROPAGATION_S)))
    # Hidden dependencies: permissions name the restriction, not the other way round.
    return pulumi.ResourceOptions(depends_on=list(permissions), hooks=pulumi.ResourceHookBinding(before_create=[hook]))


def withdraw_after(replacements: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
    """Return the options of a resource whose update withdraws something from requests (part 3 of the rule).

    Args:
        replacements: resources that answer the requests instead.
    """
    # Hidden dependencies: the replacement is on another cluster.
    return pulumi.ResourceOptions(depends_on=list(replacements))


def wait_binding(name: str, wait: Callable[[HookStep], None]) -> pulumi.ResourceHookBinding:
    """Return hooks that wait before a resource is created or updated.

    Args:
        name: name of the Pulumi resource.
        wait: the wait.
    """
    return bind_step_hook(f"{name}-wait", wait)


def wait_on_cluster(
    cluster: Cluster,
    name: str,
    services: Sequence[RequiredService],
    report: Callable[[str], None],
    *,
    began: float | None = None,
) -> None:
    """Wait until Services on a cluster are usable, as long as the cluster's settings allow.

    Args:
        cluster: the cluster.
        name: name of the waiting resource, for messages.
        services: the Services.
        report: called with the status line.
        began: start of the wait, a value of `time.monotonic()`; None: now.

    Raises:
        ServicesNotUsableError: a Service is not usable in time, or the Services may not be read.
    """
    if services:
        wait_for_usable_services(
            kube_client.connect(cluster.access),
            services,
            subject=f"{cluster.name}: {name}",
            began=time.monotonic() if began is None else began,
            timeout_s=cluster.wait_limits.timeout_s,
            limit=f"clusters.{cluster.name}.timeouts.ready",
            report=report,
        )


def find_added_backends(step: HookStep) -> list[str]:
    """Return the backends that receive requests after a route's step, but not before it.

    A backend that the route has already is not awaited: a change of weights must be possible while a cluster is down.

    Args:
        step: step of an HTTPRoute, a GRPCRoute, a TrafficSplit or a ServiceProfile.
    """
    former = _backends_with_requests(step.old_outputs)
    return [name for name in _backends_with_requests(step.inputs) if name not in former]


def _backends_with_requests(route: Mapping[str, Any]) -> list[str]:
    spec = route.get("spec") or {}
    references = [(each["name"], each) for rule in spec.get("rules") or () for each in rule.get("backendRefs") or ()]
    references += [(each["service"], each) for each in spec.get("backends") or ()]
    references += [(each["authority"].partition(".")[0], each) for each in spec.get("dstOverrides") or ()]
    # A route without weights distributes its requests equally.
    return [name for name, each in references if str(each.get("weight", 1)).removesuffix("m") != "0"]
