"""The wait for the deletion of a namespace, its reports, and the resource that waits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from components import dynamic_providers, namespace
from components.dynamic_providers import NamespaceDeletionProvider
from mesh.kube.api_services import API_SERVICES_PATH
from mesh.kube.errors import BadCredentialsError
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve
from tests.helpers.mock_engine import RunProgram, mesh_config

PATH = "/api/v1/namespaces/test"
DISCOVERY = {
    "type": "NamespaceDeletionDiscoveryFailure",
    "status": "True",
    "message": "Discovery failed for some groups, 1 failing: stale GroupVersion discovery: menu.example.com/v1",
}
# The tests replace the attribute of the module.
FIRST_REPORT_S = namespace.FIRST_REPORT_S
PROPS = {"cluster": "west", "context": "ctx-west", "kubeconfig": "text", "namespace": "test"}


def remaining(count: int) -> dict[str, Any]:
    message = f"Some resources are remaining: pods. has {count} resource instances"
    return {"type": "NamespaceContentRemaining", "status": "True", "message": message}


@dataclass
class NamespaceApiServer(FakeApiServer):
    """API server whose namespace `test` has another status at each read; the last one remains."""

    reads: list[dict[str, Any] | None] = field(default_factory=list)  # None: deleted

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        if path != PATH or path in self.statuses:
            return super().answer(path, body)
        live = self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]
        return (404, b"{}") if live is None else (200, json.dumps(live).encode())


def live(*conditions: dict[str, Any], is_terminating: bool = True) -> dict[str, Any]:
    metadata = {"name": "test", **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if is_terminating else {})}
    return {"metadata": metadata, "status": {"conditions": list(conditions)}}


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_REPORT_S", "REPORT_INTERVAL_S", "DELETION_START_TIMEOUT_S"):
        monkeypatch.setattr(namespace, name, 0.0)
    monkeypatch.setattr(namespace, "_POLL_INTERVAL_S", 0.01)


def wait(server: FakeApiServer, warn: Callable[[str], None]) -> None:
    namespace.wait_for_deletion(build_kube_client(server.server), "west", "test", warn)


def collect_reports(server: FakeApiServer) -> list[str]:
    warnings: list[str] = []
    with serve(server):
        wait(server, warnings.append)
    return warnings


def test_report_names_condition_and_unavailable_api() -> None:
    server = NamespaceApiServer(reads=[live(), live(DISCOVERY), None])
    api_service = {
        "metadata": {"name": "v1.menu.example.com"},
        "spec": {"service": {"namespace": "kitchen", "name": "waiter"}},
        "status": {"conditions": [{"type": "Available", "status": "False", "message": "no endpoints"}]},
    }
    server.objects[API_SERVICES_PATH] = {"items": [api_service]}

    warnings = collect_reports(server)

    assert warnings[-1] == (
        "west: namespace test: still Terminating after 0 seconds (NamespaceDeletionDiscoveryFailure: "
        f"{DISCOVERY['message']}); repair its Service kitchen/waiter, or delete the APIService if nothing needs it "
        "(kubectl delete apiservice v1.menu.example.com); Pulumi continues to wait"
    )


def test_unreadable_api_services_leave_general_remedy() -> None:
    server = NamespaceApiServer(reads=[live(), live(DISCOVERY), None], statuses={API_SERVICES_PATH: 403})

    assert "repair the API that the condition names" in collect_reports(server)[-1]


def test_changed_conditions_are_reported_again() -> None:
    server = NamespaceApiServer(
        reads=[live(remaining(2)), live(remaining(2)), live(remaining(2)), live(remaining(1)), None]
    )

    warnings = collect_reports(server)

    assert ["has 2" in warning for warning in warnings] == [True, False]


def test_quick_deletion_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "FIRST_REPORT_S", 20)

    assert collect_reports(NamespaceApiServer(reads=[live(remaining(2)), live(), None])) == []


def test_first_report_arrives_within_30_seconds() -> None:
    assert FIRST_REPORT_S + dynamic_providers._NAMESPACE_TIMEOUT_S <= 30


def test_namespace_that_stays_is_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "NAMESPACE_DELETION_TIMEOUT_S", 0.05)

    with pytest.raises(TimeoutError, match=r"(?s)west: namespace test: .*pods. has 1.*then run the command again"):
        collect_reports(NamespaceApiServer(reads=[live(remaining(1))]))


def test_interrupted_api_server_does_not_end_reports() -> None:
    warnings: list[str] = []
    server = NamespaceApiServer(reads=[live()])

    class Interrupted(dict[str, int]):
        """Statuses that fail every second read of the namespace."""

        count = 0

        def __contains__(self, path: object) -> bool:
            Interrupted.count += path == PATH
            return path == PATH and Interrupted.count % 2 == 0

        def get(self, path: str, default: Any = None) -> Any:
            return 500 if path == PATH and Interrupted.count % 2 == 0 else default

    server.statuses = Interrupted()
    server.reads = [live(), live(), live(remaining(3)), None]
    with serve(server):
        wait(server, warnings.append)

    assert Interrupted.count > 4
    assert "has 3" in warnings[-1]


def test_unreachable_cluster_is_left_to_pulumi() -> None:
    namespace.wait_for_deletion(build_kube_client("http://127.0.0.1:9", timeout_s=1), "west", "test", pytest.fail)


def test_namespace_that_is_not_deleted_ends_the_wait() -> None:
    assert collect_reports(NamespaceApiServer(reads=[live(is_terminating=False)])) == []


def test_deletion_that_starts_late_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "FIRST_REPORT_S", 20)
    monkeypatch.setattr(namespace, "DELETION_START_TIMEOUT_S", 5)
    server = NamespaceApiServer(reads=[live(is_terminating=False), live(), live(), None])

    with serve(server):
        wait(server, pytest.fail)

    assert server.reads == [None]


def test_busy_api_server_does_not_end_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "FIRST_REPORT_S", 20)
    monkeypatch.setattr(namespace, "DELETION_START_TIMEOUT_S", 5)
    server = NamespaceApiServer(reads=[live(), None], statuses={PATH: 503})

    with serve(server):
        timer = threading.Timer(0.1, server.statuses.clear)
        timer.start()
        wait(server, pytest.fail)
        timer.join()

    assert server.reads == [None]


def test_provider_creates_nothing_and_ignores_refused_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(props: dict[str, Any], **timeouts_s: float) -> Any:
        raise BadCredentialsError("the token has expired")

    monkeypatch.setattr(dynamic_providers, "_connect", refuse)
    provider = NamespaceDeletionProvider()

    created = provider.create({**PROPS, "__provider": "text"})

    assert (created.id, created.outs) == ("west/test", PROPS)
    provider.delete(created.id, PROPS)


@pytest.mark.parametrize(("name", "replaces"), [("test", []), ("shop", ["namespace"])])
def test_renamed_namespace_is_awaited(name: str, replaces: list[str]) -> None:
    diff = NamespaceDeletionProvider().diff("west/test", PROPS, {**PROPS, "context": "other", "namespace": name})

    assert (diff.changes, diff.replaces) == (True, replaces)


def test_secrets_are_left_to_their_namespace(run: RunProgram) -> None:
    config = {
        **mesh_config("west", "east", links=[("west", "east")]),
        "linkerd": {"version": "2.14.10"},
        "extensions": {"viz": True},
    }

    recorder = run(config)

    namespaces = {
        recorder.registration("core/v1:Namespace", name).urn: inputs["metadata"]["name"]
        for name, inputs in recorder.inputs_of("core/v1:Namespace").items()
    }
    secrets = recorder.inputs_of("core/v1:Secret")
    assert {"link-west-to-east-token", "link-west-to-east-credentials", "west-tap-secret"} < set(secrets)
    for name, inputs in secrets.items():
        secret = recorder.registration("core/v1:Secret", name)
        assert namespaces[secret.deleted_with] == inputs["metadata"]["namespace"], name
        assert (
            secret.deleted_with.rpartition("::")[2].split("-")[0]
            == secret.provider.rpartition("::")[0].rpartition("::")[2]
        )


def test_every_namespace_is_deleted_before_its_wait(run: RunProgram) -> None:
    config = {
        **mesh_config("west", "east", links=[("west", "east")]),
        "linkerd": {"version": "2.14.10", "cni": True},
        "extensions": {"viz": True, "jaeger": True},
        "workloads": [{"podinfo": {}}, {"emojivoto": {"clusters": ["west"]}}],
    }

    recorder = run(config)

    namespaces = recorder.inputs_of("core/v1:Namespace")
    deletions = recorder.inputs_of(":NamespaceDeletion")
    assert {"west-cni-namespace", "west-viz-namespace", "east-test-namespace"} < set(namespaces)
    assert set(deletions) == {f"{name}-deletion" for name in namespaces}
    for name, inputs in namespaces.items():
        deletion = recorder.registration(":NamespaceDeletion", f"{name}-deletion")
        assert deletion.urn in recorder.registration("core/v1:Namespace", name).dependencies
        assert deletion.dependencies == ()
        assert inputs["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"
        assert deletions[f"{name}-deletion"]["namespace"] == inputs["metadata"]["name"]


def test_report_of_abandoned_cluster_is_retained(run: RunProgram) -> None:
    config = mesh_config("west", "east", links=[("west", "east")])
    state = run(config)
    config["clusters"] = {**config["clusters"], "west": {"reachable": "never"}}

    recorder = run(config, state=state)

    retained = {
        each.name: each.retain_on_delete
        for each in recorder.monitor.registrations
        if each.type.endswith(":NamespaceDeletion")
    }
    assert retained == {
        f"{cluster}-{name}-namespace-deletion": cluster == "west"
        for cluster in ("west", "east")
        for name in ("linkerd", "multicluster")
    }
