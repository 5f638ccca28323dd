"""Check of the service accounts that policies of declared services name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh import config
from mesh.preflight import Severity
from mesh.preflight.declared_target import find_declared_target
from tests.helpers.fake_api_server import healthy_server, run_checks_against
from tests.helpers.stack_files import Environment

SHOP = "/api/v1/namespaces/shop"
SERVICE = {"spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}}
NAMED = "create it, or name the service account of the clients' pods"


def find_warnings(
    environment: Environment,
    allow: list[dict[str, Any]],
    live: dict[str, Any],
    statuses: dict[str, int] | None = None,
    **stack: Any,
) -> list[str]:
    """Return the findings about the policy of Service shop/cart in cluster west."""
    services = {"shop/cart": {"clusters": ["west"], "allow": allow}}
    content = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh", "services": services, **stack}
    settings = config.parse(content, environment)
    declared = find_declared_target(settings, settings.clusters[0])
    server = healthy_server()
    server.add_namespace("shop")
    server.objects |= {f"{SHOP}/services/cart": SERVICE, **live}
    server.statuses |= statuses or {}
    findings = run_checks_against(server, declared=replace(declared, mirrors=()))
    assert {each.severity for each in findings} <= {Severity.WARNING}
    return [str(each) for each in findings]


@pytest.mark.parametrize(
    ("pods", "remedy"),
    [
        (None, NAMED),
        ([], NAMED),
        (
            [{"spec": {"serviceAccountName": "web-pods"}}],
            "write shop/web-pods, the account of the pods of Service shop/web",
        ),
        ([{"spec": {}}], "write shop/default, the account of the pods of Service shop/web"),
    ],
    ids=["no-service", "no-pods", "account", "default"],
)
def test_missing_account_is_reported(environment: Environment, pods: list[dict[str, Any]] | None, remedy: str) -> None:
    live = {f"{SHOP}/services/web": SERVICE, f"{SHOP}/pods": {"items": pods}} if pods is not None else {}

    [warning] = find_warnings(environment, [{"from": "*"}, {"from": "shop/web"}], live)

    rule = "west has no such service account, so the entry allows no client there"
    assert warning == f"services.shop/cart.allow[1].from: shop/web: {rule}; {remedy}"


def test_existing_account_is_accepted(environment: Environment) -> None:
    live = {f"{SHOP}/serviceaccounts/web": {"metadata": {"name": "web"}}}

    assert find_warnings(environment, [{"from": "shop/web"}], live) == []


@pytest.mark.parametrize(
    "allow",
    [{"from": "*"}, {"from": "shop/*"}, {"networks": ["10.0.0.0/8"]}],
    ids=["mesh", "namespace", "networks"],
)
def test_entry_without_account_is_not_checked(environment: Environment, allow: dict[str, Any]) -> None:
    assert find_warnings(environment, [allow], {}) == []


def test_account_of_another_cluster_is_not_checked(environment: Environment) -> None:
    services = {"shop/cart": {"exported": ["west"], "allow": [{"from": "shop/web", "clusters": ["east"]}]}}

    assert find_warnings(environment, [], {}, services=services) == []


def test_account_in_created_namespace_is_not_checked(environment: Environment) -> None:
    namespaces = {"ops": {"create": True}}

    assert find_warnings(environment, [{"from": "ops/web"}], {}, namespaces=namespaces) == []


def test_unreadable_objects_of_another_check_do_not_hide_missing_account(environment: Environment) -> None:
    allow = [{"from": "shop/web"}]

    warnings = find_warnings(environment, allow, {}, {f"{SHOP}/pods": 403})

    assert [each for each in warnings if "west has no such service account" in each] == [warnings[-2]]
    assert "could not be read: the pods of Service shop/cart (not allowed)" in warnings[-1]
