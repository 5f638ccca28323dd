"""Pods that fit no node, from the scheduler's message.

The reasons are those of the scheduler's plugins (kubernetes/kubernetes `pkg/scheduler/framework/plugins/`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mesh.kube.conditions import find_condition
from mesh.kube.json_access import as_text
from mesh.readiness.cause import Cause
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scope import Scope
from mesh.readiness.volumes import find_claim_causes

_MISSING_CLAIM = re.compile(r"persistentvolumeclaim \"([^\"]+)\" (?:not found|is being deleted)", re.IGNORECASE)
# The scheduler appends whether it could make room, by the eviction of other pods for example.
_POST_FILTER = re.compile(r"(?<=\.) (?:no new claims to deallocate,? ?)?(?:preemption: .*|not found)?\s*\Z", re.DOTALL)


def find_scheduling_causes(scope: Scope, subject: str, pod: Mapping[str, Any]) -> list[Cause]:
    """Return the causes for a pod that has no node.

    Args:
        scope: the object that is not ready.
        subject: the pod, for the message.
        pod: the pod.
    """
    condition = find_condition(pod, "PodScheduled")
    reason = as_text(condition.get("reason"))
    message = _POST_FILTER.sub("", as_text(condition.get("message")))
    if not reason:
        remedy = "if it lasts, check that kube-scheduler runs"
        return [Cause(subject=subject, reason="Pending", message="the scheduler has not handled it yet", remedy=remedy)]
    if reason == "SchedulingGated":
        remedy = "check the controller that removes the pod's scheduling gates"
        return [Cause(subject=subject, reason=reason, message=quote(message), remedy=remedy)]
    claims = find_claim_causes(scope, pod) if "persistentvolumeclaim" in message.lower() else []
    remedy = "" if claims else _find_remedy(scope, message)
    return [
        *claims,
        Cause(subject=subject, reason=quote_name(reason), message=quote(message), remedy=remedy or None),
    ]


def _find_remedy(scope: Scope, message: str) -> str:
    """Return the remedies for the reasons in a message; one of them can be enough."""
    if missing := _MISSING_CLAIM.search(message):
        return f"create PersistentVolumeClaim {quote_name(missing[1])} in namespace {scope.namespace}"
    settings = scope.settings
    has_settings = settings.is_linkerd
    describe = settings.kubectl("describe nodes")
    remedies: list[str] = []
    if "untolerated taint" in message or "had taint" in message:
        setting = f", or tolerate the taint in `{settings.linkerd('tolerations')}`" if has_settings else ""
        remedies.append(f"remove the taint ({describe}){setting}")
    if "didn't match Pod's node affinity" in message or "didn't match node selector" in message:
        setting = f" or `{settings.linkerd('nodeSelector')}`" if has_settings else ""
        remedies.append(f"change the labels of a node{setting}")
    if "anti-affinity" in message:
        setting = f", or set `{settings.linkerd('highAvailability')}: false`" if has_settings else ""
        remedies.append(f"add nodes, because each replica needs a node of its own{setting}")
    if "Insufficient" in message or "Too many pods" in message:
        remedies.append(f"add nodes{settings.or_in_values('lower the resource requests')}")
    if "unschedulable" in message:
        remedies.append(f"uncordon a node ({settings.kubectl('get nodes')}, {settings.kubectl('uncordon NODE')})")
    if "no nodes available" in message or "0/0 nodes" in message:
        remedies.append("add a node")
    if "volume node affinity conflict" in message:
        remedies.append("add a node in the zone of the volume")
    if "free ports" in message:
        remedies.append("free the host port on a node, or add a node")
    return "; or ".join(["wait for a node", *(remedies or [f"compare the pod with the nodes ({describe})"])])
