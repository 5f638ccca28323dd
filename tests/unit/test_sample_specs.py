"""What samples are made of: pure functions beside their components."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.workloads import booksapp, podinfo
from components.workloads.authorization_policy import authentication_spec, authorization_spec, server_spec
from components.workloads.manifests import container_spec, pod_annotations
from components.workloads.nginx import nginx_configuration
from components.workloads.service_profile import http_routes, profile_spec, to_milliseconds
from components.workloads.traffic_split import (
    Backend,
    failover_backends,
    split_backends,
    traffic_split_spec,
    weighted_backends_rule,
)
from mesh import config
from mesh.config.models.samples import FailoverConfig, PodinfoConfig, ProfileConfig, SplitConfig

BOTH = SplitConfig.model_validate({"cluster": "west", "weights": {"west": 50, "east": 30, "north": 0}})
BOOKS = [Backend(service="books", port=7002, weight=500), Backend(service="error-injector", port=8080, weight=500)]


def sample(**part: Any) -> config.Sample:
    return config.Sample(part=PodinfoConfig.model_validate(part), clusters=("west",))


def test_a_split_leads_to_the_own_service_and_to_the_mirrors_of_the_others() -> None:
    assert split_backends("podinfo", 9898, BOTH) == [
        Backend(service="podinfo", port=9898, weight=50),
        Backend(service="podinfo-east", port=9898, weight=30),
        Backend(service="podinfo-north", port=9898, weight=0),
    ]


def test_a_traffic_split_has_whole_weights_or_thousandths() -> None:
    assert traffic_split_spec("podinfo", split_backends("podinfo", 9898, BOTH)) == {
        "service": "podinfo",
        "backends": [
            {"service": "podinfo", "weight": 50},
            {"service": "podinfo-east", "weight": 30},
            {"service": "podinfo-north", "weight": 0},
        ],
    }
    assert traffic_split_spec("books", BOOKS, thousandths=True) == {
        "service": "books",
        "backends": [{"service": "books", "weight": "500m"}, {"service": "error-injector", "weight": "500m"}],
    }


def test_an_http_route_is_the_services_own_and_names_ports() -> None:
    assert weighted_backends_rule("books", 7002, BOOKS) == {
        "parentRefs": [{"group": "core", "kind": "Service", "name": "books", "port": 7002}],
        "rules": [
            {
                "backendRefs": [
                    {"name": "books", "port": 7002, "weight": 500},
                    {"name": "error-injector", "port": 8080, "weight": 500},
                ]
            }
        ],
    }


def test_a_failover_leads_elsewhere_only_by_the_least_chance_that_there_is() -> None:
    failover = FailoverConfig.model_validate({"cluster": "west", "backups": ["east", "north"]})

    assert failover_backends("podinfo", 9898, failover) == [
        Backend(service="podinfo", port=9898, weight=1_000_000),
        Backend(service="podinfo-east", port=9898, weight=1),
        Backend(service="podinfo-north", port=9898, weight=1),
    ]


def test_each_route_of_a_profile_is_an_http_route_and_one_is_for_the_rest() -> None:
    found = http_routes("podinfo", ProfileConfig(form="gateway-api"), podinfo.ROUTES)

    assert [(each.name, each.annotations) for each in found] == [
        ("podinfo-get-api-info", {"retry.linkerd.io/http": "5xx", "timeout.linkerd.io/request": "300ms"}),
        ("podinfo-post-api-echo", {}),
        ("podinfo-other", {}),
    ]
    path = {"type": "RegularExpression", "value": "/api/info"}
    assert found[0].rule == {"matches": [{"path": path, "method": "GET"}]}
    assert found[-1].rule == {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}


def test_http_routes_have_names_of_their_own_whatever_the_routes_are_called() -> None:
    paths = ["/a", "/a/", "/[^/]+", "/b" * 60, "/b" * 61]
    routes = [{"method": "GET", "pathRegex": path} for path in paths]
    routes += [{"method": "PUT", "pathRegex": "/", "name": name} for name in ("other", "日本", "Put it")]
    said = {"form": "gateway-api", "routes": routes}

    names = [each.name for each in http_routes("webapp", ProfileConfig.model_validate(said), ())]

    assert names[:3] == ["webapp-get-a", "webapp-get-a-2", "webapp-get"]
    assert names[-4:] == ["webapp-other-2", "webapp-put", "webapp-put-it", "webapp-other"]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in names)


def test_a_routes_limit_is_its_own() -> None:
    route = {"method": "GET", "pathRegex": "/", "isRetryable": True, "retryLimit": 3, "timeout": "0s"}
    said = {"form": "gateway-api", "routes": [route]}

    found, _ = http_routes("webapp", ProfileConfig.model_validate(said), ())

    assert found.annotations == {"retry.linkerd.io/http": "5xx", "retry.linkerd.io/limit": "3"}


@pytest.mark.parametrize(
    ("duration", "found"),
    [("300ms", 300), ("1m30.5s", 90_500), ("2h", 7_200_000), ("0.1s", 100), ("0.2ms", 1), ("0s", 0)],
)
def test_a_duration_has_whole_milliseconds(duration: str, found: int) -> None:
    assert to_milliseconds(duration) == found


def test_podinfos_own_profile_times_one_route_out_and_retries_it() -> None:
    assert profile_spec(ProfileConfig(), podinfo.ROUTES) == {
        "routes": [
            {
                "name": "GET /api/info",
                "condition": {"method": "GET", "pathRegex": "/api/info"},
                "timeout": "300ms",
                "isRetryable": True,
            },
            {"name": "POST /api/echo", "condition": {"method": "POST", "pathRegex": "/api/echo"}},
        ],
        "retryBudget": {"retryRatio": 0.2, "minRetriesPerSecond": 10, "ttl": "10s"},
    }


def test_webapps_own_profile_has_the_routes_of_the_guide() -> None:
    routes = profile_spec(ProfileConfig(), booksapp.ROUTES)["routes"]

    assert [(route["name"], route["condition"]["method"], route["condition"]["pathRegex"]) for route in routes] == [
        ("GET /", "GET", "/"),
        ("POST /authors", "POST", "/authors"),
        ("GET /authors/{id}", "GET", "/authors/[^/]*"),
        ("POST /authors/{id}/delete", "POST", "/authors/[^/]*/delete"),
        ("POST /authors/{id}/edit", "POST", "/authors/[^/]*/edit"),
        ("POST /books", "POST", "/books"),
        ("GET /books/{id}", "GET", "/books/[^/]*"),
        ("POST /books/{id}/delete", "POST", "/books/[^/]*/delete"),
        ("POST /books/{id}/edit", "POST", "/books/[^/]*/edit"),
    ]
    assert not any("timeout" in route or "isRetryable" in route for route in routes)


def test_a_users_routes_take_the_place_of_the_samples_own() -> None:
    route = {"name": "info", "method": "GET", "pathRegex": "/api/info", "timeout": "1s"}
    said = {"routes": [route], "retryBudget": {"retryRatio": 1, "ttl": "5s"}}

    assert profile_spec(ProfileConfig.model_validate(said), podinfo.ROUTES) == {
        "routes": [{"name": "info", "condition": {"method": "GET", "pathRegex": "/api/info"}, "timeout": "1s"}],
        "retryBudget": {"retryRatio": 1.0, "minRetriesPerSecond": 10, "ttl": "5s"},
    }


def test_a_policy_names_the_accounts_that_may_call_or_all_meshed_pods() -> None:
    assert server_spec({"app": "emoji-svc"}, "grpc", "gRPC") == {
        "podSelector": {"matchLabels": {"app": "emoji-svc"}},
        "port": "grpc",
        "proxyProtocol": "gRPC",
    }
    assert authorization_spec("emoji-grpc", ["web"]) == {
        "server": {"name": "emoji-grpc"},
        "client": {"meshTLS": {"serviceAccounts": [{"name": "web"}]}},
    }
    assert authorization_spec("podinfo-http", [])["client"] == {"meshTLS": {"identities": ["*"]}}
    assert authentication_spec(["web"]) == {"identityRefs": [{"kind": "ServiceAccount", "name": "web"}]}
    assert authentication_spec([]) == {"identities": ["*"]}


def test_a_container_may_do_no_more_than_it_must() -> None:
    assert container_spec("one", "image:1") == {
        "name": "one",
        "image": "image:1",
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    probe = {"tcpSocket": {"port": "http"}}
    found = container_spec("one", "image:1", ports={"http": 80}, probe=probe, more={"args": ["x"]})
    assert found["ports"] == [{"name": "http", "containerPort": 80}]
    assert found["readinessProbe"] == probe
    assert found["args"] == ["x"]


def test_podinfo_says_which_cluster_answers() -> None:
    found = podinfo.podinfo_container("west", "podinfo:1")

    assert found["env"] == [{"name": "PODINFO_UI_MESSAGE", "value": "greetings from west"}]
    assert found["ports"] == [{"name": "http", "containerPort": 9898}, {"name": "grpc", "containerPort": 9999}]


@pytest.mark.parametrize(
    ("said", "annotations"),
    [
        ({}, {"linkerd.io/inject": "enabled"}),
        ({"meshed": False}, {"linkerd.io/inject": "disabled"}),
        (
            {"defaultInboundPolicy": "deny"},
            {"linkerd.io/inject": "enabled", "config.linkerd.io/default-inbound-policy": "deny"},
        ),
    ],
)
def test_a_pod_says_itself_what_linkerd_is_to_do_with_it(said: dict[str, Any], annotations: dict[str, str]) -> None:
    assert pod_annotations(sample(**said)) == annotations


@pytest.mark.parametrize("location", ["return 500;", podinfo._ASK_PODINFO], ids=["error-injector", "frontend"])
def test_nginx_listens_where_its_service_leads_and_writes_only_where_it_may(location: str) -> None:
    found = nginx_configuration(location)

    depth = 0
    for brace in re.findall("[{}]", found):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert "listen 8080;" in found
    assert all(line.strip() in found for line in location.splitlines())
    written = re.findall(r"^\s*(?:pid|\w+_temp_path|error_log|access_log)\s+(\S+);", found, re.MULTILINE)
    assert len(written) == 8
    assert all(path.startswith(("/tmp/", "/dev/std")) for path in written), "its root is read-only"
    statements = [line.strip() for line in found.splitlines()]
    assert all(line.endswith((";", "{", "}")) for line in statements), statements
    assert not re.search(r"^\s*user\b", found, re.MULTILINE), "only root could become another one"
