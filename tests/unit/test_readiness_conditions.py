"""Readiness of one object, from its status."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.readiness.conditions import is_ready


def build_live(kind: str, spec: dict[str, Any], status: dict[str, Any], generation: int = 2) -> dict[str, Any]:
    """Return a live object whose controller has observed its latest generation, unless the status has another one."""
    return {
        "kind": kind,
        "metadata": {"name": "web", "generation": generation},
        "spec": spec,
        "status": {"observedGeneration": generation, **status},
    }


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    """Return a status with one condition."""
    return {"conditions": [{"type": kind, "status": status}]}


ROLLED_OUT = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
ALL_READY = {"readyReplicas": 3, "updatedReplicas": 3, "currentRevision": "b", "updateRevision": "b"}
ALL_NODES = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}
ADDRESS = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "expected"),
    [
        ("Deployment", {"replicas": 2}, ROLLED_OUT, True),
        ("Deployment", {"replicas": 0}, {}, True),
        ("Deployment", {}, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, True),
        ("Deployment", {}, {}, False),
        ("Deployment", {"replicas": 2}, {**ROLLED_OUT, "observedGeneration": 1}, False),
        ("Deployment", {"replicas": 2}, {**ROLLED_OUT, "availableReplicas": 1}, False),
        ("Deployment", {"replicas": 2}, {**ROLLED_OUT, "updatedReplicas": 1}, False),
        ("Deployment", {"replicas": 2}, {**ROLLED_OUT, "replicas": 3}, False),
        ("StatefulSet", {"replicas": 3}, ALL_READY, True),
        ("StatefulSet", {"replicas": 3}, {**ALL_READY, "currentRevision": "a"}, False),
        ("StatefulSet", {"replicas": 3}, {**ALL_READY, "readyReplicas": 2}, False),
        (
            "StatefulSet",
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            {**ALL_READY, "updatedReplicas": 1, "currentRevision": "a"},
            True,
        ),
        (
            "StatefulSet",
            {"replicas": 3, "updateStrategy": {"type": "OnDelete"}},
            {**ALL_READY, "currentRevision": "a"},
            True,
        ),
        ("DaemonSet", {}, ALL_NODES, True),
        ("DaemonSet", {}, {"desiredNumberScheduled": 0}, True),
        ("DaemonSet", {}, {**ALL_NODES, "numberAvailable": 2}, False),
        ("DaemonSet", {}, {**ALL_NODES, "updatedNumberScheduled": 2}, False),
        ("DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, {**ALL_NODES, "updatedNumberScheduled": 0}, True),
        ("DaemonSet", {}, {**ALL_NODES, "observedGeneration": 1}, False),
        ("Job", {}, condition("Complete"), True),
        ("Job", {}, condition("Failed"), False),
        ("Job", {"suspend": True}, {}, True),
        ("Service", {"type": "LoadBalancer"}, ADDRESS, True),
        ("Service", {"type": "LoadBalancer"}, {"loadBalancer": {}}, False),
        ("Service", {"type": "LoadBalancer", "externalIPs": ["192.0.2.1"]}, {}, True),
        ("Service", {"type": "ClusterIP"}, {}, True),
        ("CustomResourceDefinition", {}, condition("Established"), True),
        ("CustomResourceDefinition", {}, condition("Established", "False"), False),
        ("APIService", {}, condition("Available"), True),
        ("APIService", {}, condition("Available", "False"), False),
        ("ConfigMap", {}, {}, True),
    ],
)
def test_readiness_follows_status(kind: str, spec: dict[str, Any], status: dict[str, Any], expected: bool) -> None:
    assert is_ready(build_live(kind, spec, status)) is expected
