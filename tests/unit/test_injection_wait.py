"""Wait until the API server reaches the proxy injector."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from mesh.readiness import injection
from mesh.readiness.injection import InjectorUnreachableError, is_selected, wait_for_injector
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve

PODS_PATH = "/api/v1/namespaces/default/pods"
NODES_PATH = "/api/v1/nodes"
NAMESPACE_PATH = "/api/v1/namespaces/default"
WEBHOOK_PATH = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/linkerd-proxy-injector-webhook-config"
)
SELECTOR = {
    "matchExpressions": [
        {"key": "config.linkerd.io/admission-webhooks", "operator": "NotIn", "values": ["disabled"]},
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "cert-manager"]},
    ]
}
PLAIN = {"spec": {"containers": [{"name": "probe"}]}}
INJECTED = {"spec": {"initContainers": [{"name": "linkerd-init"}, {"name": "linkerd-proxy"}], "containers": []}}
KWOK_NODE = {"metadata": {"name": "west-1", "annotations": {"kwok.x-k8s.io/node": "fake"}}}
RUNNING_NODE = {"metadata": {**KWOK_NODE["metadata"], "labels": {"multicluster-mesh/runs-pods": "true"}}}


@dataclass
class InjectingCluster(FakeApiServer):
    """A cluster that answers each dry run with the next of these pods or statuses, and the last one repeatedly."""

    answers: list[dict[str, Any] | int] = field(default_factory=list)

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if path != PODS_PATH:
            return super().answer(path, body)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, int):
            return answer, json.dumps({"kind": "Status", "message": "failed calling webhook"}).encode()
        return 201, json.dumps(answer).encode()


def build_cluster(
    *answers: dict[str, Any] | int, node: Any = None, labels: dict[str, str] | None = None
) -> InjectingCluster:
    objects = {
        NODES_PATH: {"items": [node or {"metadata": {"name": "worker"}}]},
        NAMESPACE_PATH: {"metadata": {"name": "default", "labels": labels or {}}},
        WEBHOOK_PATH: {"webhooks": [{"namespaceSelector": SELECTOR}]},
    }
    return InjectingCluster(objects=objects, answers=list(answers))


def wait(cluster: InjectingCluster, timeout_s: float = 10.0) -> list[str]:
    statuses: list[str] = []
    with serve(cluster):
        wait_for_injector(build_kube_client(cluster.server), "west", statuses.append, timeout_s)
    return statuses


def count_dry_runs(cluster: InjectingCluster) -> int:
    return cluster.requests.count(f"POST {PODS_PATH}")


def test_injected_pod_ends_the_wait() -> None:
    cluster = build_cluster(INJECTED)

    wait(cluster)

    assert cluster.requests == [f"POST {PODS_PATH}"]


@pytest.mark.parametrize("skipped", [PLAIN, 500], ids=["ignored", "failed"])
def test_wait_lasts_until_webhook_is_called(skipped: Any) -> None:
    cluster = build_cluster(skipped, skipped, INJECTED)

    wait(cluster)

    assert count_dry_runs(cluster) == 3


@pytest.mark.parametrize("status", [400, 403, 422])
def test_rejected_dry_run_ends_the_wait(status: int) -> None:
    cluster = build_cluster(status)

    wait(cluster)

    assert count_dry_runs(cluster) == 1


def test_simulated_nodes_end_the_wait() -> None:
    cluster = build_cluster(PLAIN, node=KWOK_NODE)

    wait(cluster)

    assert count_dry_runs(cluster) == 1


def test_node_that_runs_pods_needs_the_wait() -> None:
    cluster = build_cluster(PLAIN, INJECTED, node=RUNNING_NODE)

    wait(cluster)

    assert count_dry_runs(cluster) == 2


def test_namespace_without_injection_ends_the_wait() -> None:
    cluster = build_cluster(PLAIN, labels={"config.linkerd.io/admission-webhooks": "disabled"})

    wait(cluster)

    assert count_dry_runs(cluster) == 1


def test_unreachable_injector_is_an_error() -> None:
    with pytest.raises(InjectorUnreachableError) as error:
        wait(build_cluster(PLAIN), timeout_s=0.3)

    assert str(error.value) == (
        "west: proxy injector: ready, but a new pod gets no proxy after 0.3 s (the webhook is skipped); let the API "
        "server reach port 8443 of the injector's pods, then run `pulumi up` again"
    )


def test_long_wait_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injection, "FIRST_REPORT_S", 0.0)
    began = time.monotonic()

    statuses = wait(build_cluster(PLAIN, PLAIN, INJECTED))

    assert statuses == ["west: waiting until the API server reaches the proxy injector (the webhook is skipped)"]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {"a": "1"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "unknown"}]}, {"a": "1"}, False),
    ],
)
def test_selector_selects_labels(selector: dict[str, Any], labels: dict[str, str], expected: bool) -> None:
    assert is_selected(selector, labels) is expected
