"""Declared Services and namespaces of a stack whose checks are disabled."""

from __future__ import annotations

import pytest

from mesh import config, preflight
from mesh.preflight import Severity, runner
from mesh.preflight.declared_target import DeclaredTarget, ServiceTarget
from mesh.preflight.runner import read_declared
from mesh.traffic_changes import TrafficChanges
from tests.helpers.fake_api_server import (
    IDENTITY,
    FakeApiServer,
    build_client,
    check_target,
    serve,
)
from tests.helpers.stack_files import Environment

PATH = "/api/v1/namespaces/shop/services/cart"
SERVICE = {"spec": {"ports": [{"port": 80}]}}
DECLARED = DeclaredTarget(services=(ServiceTarget(namespace="shop", name="cart"),))


def test_unreadable_clusters_are_all_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.kube.client.OVERLOAD_RETRY_DELAYS_S", ())
    servers = {
        "west": FakeApiServer(objects={PATH: SERVICE}),
        "east": FakeApiServer(statuses={PATH: 403}),
        "north": FakeApiServer(statuses={"": 401}),
    }
    with serve(servers["west"]), serve(servers["east"]), serve(servers["north"]):
        urls = {**{name: each.server for name, each in servers.items()}, "south": "http://127.0.0.1:1"}
        targets = [check_target(name, declared=DECLARED) for name in urls]

        report = read_declared(targets, lambda name: build_client(urls[name]))

    assert [(each.path, each.severity) for each in report.findings] == [
        (f"clusters.{name}", Severity.ERROR) for name in ("east", "north", "south")
    ]
    rules = [each.rule for each in report.findings]
    assert rules[0] == "could not be read: Service shop/cart (not allowed)"
    assert rules[2] == "the connection failed: connection refused"
    assert report.declared["west"].services == {("shop", "cart"): SERVICE}


def test_disabled_checks_read_declared_services(monkeypatch: pytest.MonkeyPatch, environment: Environment) -> None:
    content = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh", "preflight": False}
    stack = config.parse({**content, "services": {"shop/cart": {"exported": ["east"]}}}, environment)
    server = FakeApiServer(objects={PATH: SERVICE})
    with serve(server):
        monkeypatch.setattr("mesh.preflight.stack.build_api_client", lambda _: build_client(server.server))
        facts = preflight.check_stack(
            stack, identity=IDENTITY, changes=TrafficChanges(), namespaces=[], is_update=True, warn=print
        )

    assert list(facts.services) == [("east", "shop", "cart")]
    assert (facts.uids, server.requests[0]) == ({}, f"GET {PATH}")


def test_stack_without_declared_services_sends_no_request(
    monkeypatch: pytest.MonkeyPatch, environment: Environment
) -> None:
    stack = config.parse({"clusters": {"west": {}}, "preflight": False}, environment)
    monkeypatch.setattr(runner, "_connect", None)

    facts = preflight.check_stack(
        stack, identity=IDENTITY, changes=TrafficChanges(), namespaces=[], is_update=True, warn=print
    )

    assert facts.services == {}
