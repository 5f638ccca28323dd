"""Preflight checks of unavailable aggregated APIs and of namespaces that are Terminating."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.kube.api_services import API_SERVICES_PATH
from mesh.preflight import Severity
from tests.helpers.fake_api_server import OWNER, FakeApiServer, healthy_server, only_finding, run_checks_against

DISCOVERY = {
    "type": "NamespaceDeletionDiscoveryFailure",
    "status": "True",
    "reason": "DiscoveryFailed",
    "message": "Discovery failed for some groups, 1 failing: stale GroupVersion discovery: menu.example.com/v1",
}
CONTENT = {
    "type": "NamespaceContentRemaining",
    "status": "True",
    "reason": "SomeResourcesRemain",
    "message": "Some resources are remaining: configmaps. has 1 resource instances, pods. has 2 resource instances",
}
FINALIZERS = {
    "type": "NamespaceFinalizersRemaining",
    "status": "True",
    "reason": "SomeFinalizersRemain",
    "message": "Some content in the namespace has finalizers remaining: example.com/stuck in 1 resource instances",
}
PARSING = {"type": "NamespaceDeletionGroupVersionParsingFailure", "status": "True", "reason": "ParsingFailed"}
REFUSED = {
    "type": "NamespaceDeletionContentFailure",
    "status": "True",
    "message": 'Failed to delete all resource types, 1 remaining: failed calling webhook "down.example.com"',
}


def api_service(name: str, status: str | None, *, message: str = "", service: bool = True) -> dict[str, Any]:
    """Return an APIService with its condition Available."""
    conditions = [{"type": "Available", "status": status, "reason": "FailedDiscoveryCheck", "message": message}]
    return {
        "metadata": {"name": name},
        "spec": {"service": {"namespace": "kitchen", "name": "waiter"} if service else None},
        "status": {"conditions": conditions} if status is not None else {},
    }


def terminating_server(*conditions: dict[str, Any], manager: str | None = OWNER, **metadata: Any) -> FakeApiServer:
    """Return a server whose namespace `test` is Terminating."""
    cluster = healthy_server()
    cluster.add_namespace("test", manager)
    live = cluster.objects["/api/v1/namespaces/test"]
    live["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", **metadata}
    live["status"] = {"phase": "Terminating", "conditions": list(conditions)}
    return cluster


def test_unavailable_api_is_warning_with_its_message() -> None:
    cluster = healthy_server()
    message = "failing or missing response from https://10.0.0.9:443/apis/menu.example.com/v1"
    cluster.objects[API_SERVICES_PATH] = {"items": [api_service("v1.menu.example.com", "False", message=message)]}

    finding = only_finding(cluster)

    assert finding.severity is Severity.WARNING
    assert str(finding) == (
        "clusters.west: APIService v1.menu.example.com: the API is unavailable, so the cluster deletes no namespace "
        f"until it is available ({message}); repair its Service kitchen/waiter, or delete the APIService if nothing "
        "needs it (kubectl delete apiservice v1.menu.example.com)"
    )


def test_every_unavailable_api_is_reported() -> None:
    cluster = healthy_server()
    down = [api_service(f"v1.{name}.example.com", "False") for name in ("one", "two")]
    cluster.objects[API_SERVICES_PATH] = {"items": [*down, api_service("v1.apps", "False", service=False)]}

    findings = run_checks_against(cluster)

    assert [finding.value.removeprefix("APIService ") for finding in findings] == [
        "v1.one.example.com",
        "v1.two.example.com",
        "v1.apps",
    ]
    assert all("FailedDiscoveryCheck" in finding.rule for finding in findings), "the reason replaces a message"
    assert findings[2].remedy.startswith("delete the APIService")


@pytest.mark.parametrize("status", ["True", "Unknown", None])
def test_api_with_other_condition_has_no_finding(status: str | None) -> None:
    cluster = healthy_server()
    cluster.objects[API_SERVICES_PATH] = {"items": [api_service("v1.menu.example.com", status)]}

    assert run_checks_against(cluster) == []


def test_unreadable_api_services_are_warning() -> None:
    cluster = healthy_server()
    cluster.statuses[API_SERVICES_PATH] = 403

    finding = only_finding(cluster)

    assert finding.severity is Severity.WARNING
    assert "whether all aggregated APIs are available (not allowed)" in finding.rule


@pytest.mark.parametrize("manager", [OWNER, None], ids=["own", "foreign"])
def test_terminating_namespace_is_error_for_up(manager: str | None) -> None:
    finding = only_finding(terminating_server(CONTENT, manager=manager))

    assert finding.severity is Severity.UPDATE_ERROR
    assert str(finding) == (
        "clusters.west: namespace test: is Terminating, so nothing can be created in it (NamespaceContentRemaining: "
        "Some resources are remaining: configmaps. has 1 resource instances, pods. has 2 resource instances); wait "
        "until these objects are deleted, then run the command again"
    )


@pytest.mark.parametrize(
    ("conditions", "metadata", "cause", "remedy"),
    [
        ([DISCOVERY], {}, "menu.example.com/v1", "repair the API that the condition names, or delete its APIService"),
        ([PARSING], {}, "ParsingFailed", "delete the APIService of the version"),
        ([REFUSED, CONTENT], {}, 'webhook "down.example.com"', "remove the cause of the refusal"),
        ([CONTENT, FINALIZERS], {}, "configmaps. has 1", "start the controllers that remove these finalizers"),
        ([CONTENT, FINALIZERS], {}, "example.com/stuck in 1", "start the controllers that remove these finalizers"),
        ([], {"finalizers": ["example.com/own"]}, "example.com/own", "start the controllers that remove the namespace"),
        ([], {}, "its conditions name no cause yet", "wait until it is deleted"),
        ([{**CONTENT, "status": "False"}], {}, "its conditions name no cause yet", "wait until it is deleted"),
    ],
)
def test_terminating_namespace_names_cause_and_remedy(
    conditions: list[dict[str, Any]], metadata: dict[str, Any], cause: str, remedy: str
) -> None:
    finding = only_finding(terminating_server(*conditions, **metadata))

    assert cause in finding.rule
    assert finding.remedy.startswith(remedy)
    assert finding.remedy.endswith(", then run the command again")


def test_deletion_has_remedy_of_each_cause() -> None:
    finding = only_finding(terminating_server(DISCOVERY, CONTENT, FINALIZERS))

    assert "APIService" in finding.remedy and "finalizers" in finding.remedy
    assert "these objects" not in finding.remedy, "the objects remain because of the other causes"


def test_control_characters_of_condition_are_not_shown() -> None:
    finding = only_finding(terminating_server({**CONTENT, "message": "\x1b[31m\n" + "x" * 9999}))

    assert str(finding).isprintable() and len(str(finding)) < 800


def test_namespace_that_disappears_has_no_finding() -> None:
    cluster = terminating_server(CONTENT)

    class Vanishing(dict[str, Any]):
        """Objects of which each can be read once."""

        def __getitem__(self, path: str) -> Any:
            return self.pop(path) if path.endswith("/test") else super().__getitem__(path)

    cluster.objects = Vanishing(cluster.objects)

    assert run_checks_against(cluster) == []
