"""Diagnoses of unexpected and malformed API answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.kube.client import KubeClient
from mesh.readiness.diagnosis import diagnose, format_report, format_short
from mesh.readiness.quotation import MAX_MESSAGE_LENGTH
from tests.helpers.fake_api_server import FakeApiServer
from tests.helpers.fuzz_strategies import fuzz_settings
from tests.helpers.unready_objects import (
    EVENTS,
    PODS,
    REPLICA_SETS,
    SETTINGS,
    build_api_server,
    connect_to,
    diagnose_on,
    pod,
    pod_event,
    running,
    waiting,
    workload,
)

KINDS = ["Deployment", "StatefulSet", "DaemonSet", "Job", "Service", "CustomResourceDefinition", "APIService", "Pod"]
KEYS = ["metadata", "spec", "status", "items", "kind", "name", "namespace", "uid", "generation", "conditions", "type"]
KEYS += ["reason", "message", "replicas", "selector", "matchLabels", "matchExpressions", "key", "operator", "values"]
KEYS += ["containers", "initContainers", "containerStatuses", "initContainerStatuses", "state", "waiting", "running"]
KEYS += [
    "terminated",
    "lastState",
    "exitCode",
    "signal",
    "restartCount",
    "ready",
    "started",
    "image",
    "phase",
    "paused",
]
KEYS += ["deletionTimestamp", "finalizers", "ownerReferences", "labels", "annotations", "nodeName", "volumes", "podIP"]
KEYS += ["persistentVolumeClaim", "claimName", "involvedObject", "fieldPath", "lastTimestamp", "count", "series"]
KEYS += ["deployment.kubernetes.io/revision", "pod-template-hash", "observedGeneration", "updatedReplicas", "continue"]
TEXTS = [
    *KINDS,
    "True",
    "False",
    "Ready",
    "PodScheduled",
    "Unschedulable",
    "ErrImagePull",
    "CrashLoopBackOff",
    "Failed",
]
TEXTS += ["ReplicaFailure", "FailedCreate", "Warning", "Unhealthy", "In", "Exists", "linkerd", "policy", "a", "Evicted"]
TEXTS += ["2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "spec.containers{policy}", "LoadBalancer", "²", "\ud800"]
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from(TEXTS))
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=30,
)


def disturb(value: Any, data: st.DataObject) -> Any:
    """Return a value with some of its parts replaced by anything."""
    if data.draw(st.integers(0, 14)) == 0:
        return data.draw(ANYTHING)
    if isinstance(value, dict):
        return {key: disturb(item, data) for key, item in value.items()}
    return [disturb(item, data) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def connection() -> Iterator[tuple[FakeApiServer, KubeClient]]:
    api_server = build_api_server()
    with connect_to(api_server) as client:
        yield api_server, client


@pytest.mark.thorough
@given(data=st.data())
@fuzz_settings
def test_any_answer_gives_a_bounded_diagnosis(
    connection: tuple[FakeApiServer, KubeClient], data: st.DataObject
) -> None:
    api_server, client = connection
    container = data.draw(st.sampled_from([waiting("ErrImagePull", "no"), running(restartCount=2), waiting("Other")]))
    answers = {
        PODS: {"items": [pod(container, init=[waiting("CrashLoopBackOff")])]},
        EVENTS: {"items": [pod_event("Failed", "Failed to pull image", "policy")]},
        REPLICA_SETS: {"items": []},
    }
    api_server.objects = {path: disturb(answer, data) for path, answer in answers.items()}
    live = disturb(workload(data.draw(st.sampled_from(KINDS))), data)
    live = live if isinstance(live, dict) else {}
    [diagnosis] = diagnose(client, [live], SETTINGS, with_logs=data.draw(st.booleans()))

    for line in (format_short(diagnosis), *format_report([diagnosis])):
        assert line.isprintable()
        assert len(line) < MAX_MESSAGE_LENGTH + 1000


@pytest.mark.thorough
def test_huge_answer_is_bounded() -> None:
    statuses = [waiting("CreateContainerConfigError", "x" * 100_000, f"{number}") for number in range(50)]
    pods = [pod(*statuses, name=f"web-{number}") for number in range(100)]
    started_at = time.process_time()
    [diagnosis] = diagnose_on(build_api_server(pods), workload(replicas=100))

    assert len("\n".join(format_report([diagnosis]))) < 20_000
    assert time.process_time() - started_at < 10
