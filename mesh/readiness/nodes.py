"""Nodes that do not run their pods: missing, not ready, or short of a resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.kube.conditions import find_condition
from mesh.kube.json_access import as_text
from mesh.readiness.cause import Cause
from mesh.readiness.quotation import quote, quote_name
from mesh.readiness.scope import Scope

_PRESSURE_CONDITIONS = ("DiskPressure", "MemoryPressure", "PIDPressure", "NetworkUnavailable")


def find_node_cause(scope: Scope, subject: str, node_name: str) -> Cause | None:
    """Return the cause on the side of a pod's node, or None if the node is well.

    Args:
        scope: the object that is not ready.
        subject: the pod, for the message.
        node_name: name of its node.
    """
    if not node_name:
        return None
    name = quote_name(node_name)
    node = scope.reader.read_node(node_name)
    if node is None:
        if not scope.reader.is_missing(node_name):
            return None
        return Cause(
            subject=subject,
            reason="NodeNotFound",
            message=f"Node {name} no longer exists",
            remedy=f"delete the pod: {scope.kubectl(f'delete {pod_argument(subject)} --force --grace-period=0')}",
        )
    ready = find_condition(node, "Ready")
    if ready.get("status") != "True":
        reason = as_text(ready.get("reason")) or "NodeNotReady"
        return Cause(
            subject=subject,
            reason="NodeNotReady",
            message=quote(f"Node {name}: {reason}: {as_text(ready.get('message')) or 'no message given'}"),
            remedy=f"repair the node ({_describe(scope, name)}), or delete it if it is gone",
        )
    return next(
        (_pressure_cause(scope, subject, name, node, each) for each in _PRESSURE_CONDITIONS if _has(node, each)), None
    )


def pod_argument(subject: str) -> str:
    """Return the pod of a cause's subject as an argument of kubectl."""
    return f"pod {subject.removeprefix('Pod ').partition(',')[0]}"


def _describe(scope: Scope, name: str) -> str:
    return scope.settings.kubectl(f"describe node {name}")


def _has(node: Mapping[str, Any], condition: str) -> bool:
    return find_condition(node, condition).get("status") == "True"


def _pressure_cause(scope: Scope, subject: str, name: str, node: Mapping[str, Any], kind: str) -> Cause:
    message = as_text(find_condition(node, kind).get("message")) or "no message given"
    return Cause(
        subject=subject,
        reason=kind,
        message=quote(f"Node {name}: {message}"),
        remedy=f"free the resource on the node, or add a node ({_describe(scope, name)})",
    )
