"""Object specs of samples, from pure functions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.services.authorization_policy import authentication_spec, authorization_spec, server_spec
from components.services.backends import Backend, RequestDistribution, request_backends
from components.services.service_profile import http_routes, profile_spec, to_milliseconds
from components.services.traffic_split import traffic_split_spec, weighted_route_spec
from components.workloads import booksapp, podinfo
from components.workloads.frontend import mirror_locations, proxy_directives
from components.workloads.manifests import container_spec, pod_annotations
from components.workloads.nginx import nginx_configuration
from mesh import config
from mesh.config.models.samples import PodinfoConfig, PolicyClientsConfig
from mesh.config.models.services import FailoverConfig, RetryBudget, RouteConfig, SplitConfig
from tests.helpers.mock_engine import RunProgram

SPLIT = SplitConfig.model_validate({"cluster": "west", "weights": {"west": 50, "east": 30, "north": 0}})
BOOKS = [Backend(service="books", port=7002, weight=500), Backend(service="error-injector", port=8080, weight=500)]


def podinfo_sample(**part: Any) -> config.Sample:
    return config.Sample(config=PodinfoConfig.model_validate(part), clusters=("west",))


def build_profile(*routes: dict[str, Any], **settings: Any) -> config.Profile:
    return config.Profile(routes=tuple(RouteConfig.model_validate(route).to_route() for route in routes), **settings)


def test_split_backends_are_own_service_and_mirrors() -> None:
    assert request_backends("podinfo", RequestDistribution(split=SPLIT)) == [
        Backend(service="podinfo", weight=50),
        Backend(service="podinfo-east", weight=30, target="east"),
        Backend(service="podinfo-north", weight=0, target="north"),
    ]


def test_traffic_split_has_whole_weights_or_thousandths() -> None:
    assert traffic_split_spec("podinfo", request_backends("podinfo", RequestDistribution(split=SPLIT))) == {
        "service": "podinfo",
        "backends": [
            {"service": "podinfo", "weight": 50},
            {"service": "podinfo-east", "weight": 30},
            {"service": "podinfo-north", "weight": 0},
        ],
    }
    assert traffic_split_spec("books", BOOKS, in_thousandths=True) == {
        "service": "books",
        "backends": [{"service": "books", "weight": "500m"}, {"service": "error-injector", "weight": "500m"}],
    }


def test_http_route_has_service_as_parent_and_ports() -> None:
    assert weighted_route_spec("books", 7002, BOOKS) == {
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


def test_failover_gives_backups_lowest_possible_weight() -> None:
    failover = FailoverConfig.model_validate({"cluster": "west", "backups": ["east", "north"]})

    assert request_backends("podinfo", RequestDistribution(failover=failover)) == [
        Backend(service="podinfo", weight=1_000_000),
        Backend(service="podinfo-east", weight=1, target="east"),
        Backend(service="podinfo-north", weight=1, target="north"),
    ]


@pytest.mark.parametrize(
    ("weights", "targets", "expected"),
    [
        ({"west": 90, "east": 10}, ["east"], {"cart": 1_000_000, "cart-east": 111_111}),
        ({"west": 90, "east": 10}, ["north"], {"cart": 1_000_000, "cart-east": 111_111, "cart-north": 1}),
        ({"east": 3, "north": 0}, ["north"], {"cart-east": 1_000_000, "cart-north": 1}),
    ],
    ids=["same", "other", "zero"],
)
def test_failover_adds_lowest_weight_to_split(
    weights: dict[str, int], targets: list[str], expected: dict[str, int]
) -> None:
    split = SplitConfig.model_validate({"cluster": "west", "weights": weights})
    failover = FailoverConfig.model_validate({"cluster": "west", "to": targets})

    backends = request_backends("cart", RequestDistribution(split=split, failover=failover))

    assert {each.service: each.weight for each in backends} == expected


def test_http_routes_of_profile_have_backends_of_split() -> None:
    references = [{"name": "cart", "port": 80, "weight": 9}, {"name": "cart-east", "port": 80, "weight": 1}]

    routes = http_routes(config.Profile(form="gateway-api"), podinfo.ROUTES, references)

    assert [each.rule["backendRefs"] for each in routes] == [references] * 3


def test_service_profile_has_weights_of_split() -> None:
    spec = profile_spec(config.Profile(), podinfo.ROUTES, {"cart.shop.svc.cluster.local": 90})

    assert spec["dstOverrides"] == [{"authority": "cart.shop.svc.cluster.local", "weight": "90m"}]


def test_profile_has_http_route_per_route_and_default() -> None:
    routes = http_routes(config.Profile(form="gateway-api"), podinfo.ROUTES)

    assert [(each.name, each.annotations) for each in routes] == [
        ("get-api-info", {"retry.linkerd.io/http": "5xx", "timeout.linkerd.io/request": "300ms"}),
        ("post-api-echo", {}),
        ("other", {}),
    ]
    path = {"type": "RegularExpression", "value": "/api/info"}
    assert routes[0].rule == {"matches": [{"path": path, "method": "GET"}]}
    assert routes[-1].rule == {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}


def test_http_route_names_are_unique_and_valid() -> None:
    paths = ["/a", "/a/", "/[^/]+", "/b" * 60, "/b" * 61]
    routes = [{"method": "GET", "pathRegex": path} for path in paths]
    routes += [{"method": "PUT", "pathRegex": "/", "name": name} for name in ("other", "日本", "Put it")]

    names = [each.name for each in http_routes(build_profile(*routes, form="gateway-api"), ())]

    assert names[:3] == ["get-a", "get-a-2", "get"]
    assert names[-4:] == ["other-2", "put", "put-it", "other"]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) for name in names)


def test_retry_limit_is_set_per_route() -> None:
    route = {"method": "GET", "pathRegex": "/", "isRetryable": True, "retryLimit": 3, "timeout": "0s"}

    http_route, _ = http_routes(build_profile(route, form="gateway-api"), ())

    assert http_route.annotations == {"retry.linkerd.io/http": "5xx", "retry.linkerd.io/limit": "3"}


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("300ms", 300), ("1m30.5s", 90_500), ("2h", 7_200_000), ("0.1s", 100), ("0.2ms", 1), ("0s", 0)],
)
def test_duration_is_rounded_up_to_milliseconds(duration: str, expected: int) -> None:
    assert to_milliseconds(duration) == expected


def test_default_podinfo_profile_has_timeout_and_retries() -> None:
    assert profile_spec(config.Profile(), podinfo.ROUTES) == {
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


def test_default_webapp_profile_has_routes_of_guide() -> None:
    routes = profile_spec(config.Profile(), booksapp.ROUTES)["routes"]

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


def test_user_routes_replace_default_routes() -> None:
    route = {"name": "info", "method": "GET", "pathRegex": "/api/info", "timeout": "1s"}
    budget = RetryBudget.model_validate({"retryRatio": 1, "ttl": "5s"})

    assert profile_spec(build_profile(route, retry_budget=budget), podinfo.ROUTES) == {
        "routes": [{"name": "info", "condition": {"method": "GET", "pathRegex": "/api/info"}, "timeout": "1s"}],
        "retryBudget": {"retryRatio": 1.0, "minRetriesPerSecond": 10, "ttl": "5s"},
    }


def test_policy_allows_named_accounts_or_all_meshed_pods() -> None:
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


def test_policy_clients_replace_default_clients() -> None:
    identities = ["*.test.serviceaccount.identity.linkerd.cluster.local"]
    by_identity = PolicyClientsConfig.model_validate({"identities": identities})
    any_tls = PolicyClientsConfig.model_validate({"unauthenticatedTLS": True})

    assert authorization_spec("emoji-grpc", ["web"], by_identity)["client"] == {"meshTLS": {"identities": identities}}
    assert authorization_spec("emoji-grpc", ["web"], any_tls)["client"] == {"meshTLS": {"unauthenticatedTLS": True}}
    assert authentication_spec(["web"], by_identity) == {"identities": identities}


@pytest.mark.parametrize(
    ("policy", "clients", "kind", "spec"),
    [
        (
            "server-authorization",
            {"unauthenticatedTLS": True},
            "ServerAuthorization",
            {"client": {"meshTLS": {"unauthenticatedTLS": True}}},
        ),
        (
            "authorization-policy",
            {"identities": ["a.b.serviceaccount.identity.linkerd.cluster.local"]},
            "MeshTLSAuthentication",
            {"identities": ["a.b.serviceaccount.identity.linkerd.cluster.local"]},
        ),
    ],
)
def test_policy_of_sample_has_clients_of_stack_file(
    run: RunProgram, policy: str, clients: dict[str, Any], kind: str, spec: dict[str, Any]
) -> None:
    settings = {"policy": policy, "policyClients": clients}
    recorder = run({"clusters": {"west": {}}, "workloads": [{"podinfo": settings}, {"emojivoto": settings}]})

    policies = {
        each["metadata"]["name"]: {key: value for key, value in each["spec"].items() if key != "server"}
        for each in recorder.inputs_of(f":{kind}").values()
    }
    assert policies == dict.fromkeys(("podinfo-http", "podinfo-grpc", "emoji-grpc", "voting-grpc"), spec)


def test_container_has_least_privileges() -> None:
    assert container_spec("one", "image:1") == {
        "name": "one",
        "image": "image:1",
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    probe = {"tcpSocket": {"port": "http"}}
    spec = container_spec("one", "image:1", ports={"http": 80}, probe=probe, extra_fields={"args": ["x"]})
    assert spec["ports"] == [{"name": "http", "containerPort": 80}]
    assert spec["readinessProbe"] == probe
    assert spec["args"] == ["x"]


def test_podinfo_greeting_names_cluster() -> None:
    spec = podinfo.podinfo_container("west", "podinfo:1")

    assert spec["env"] == [{"name": "PODINFO_UI_MESSAGE", "value": "greetings from west"}]
    assert spec["ports"] == [{"name": "http", "containerPort": 9898}, {"name": "grpc", "containerPort": 9999}]


@pytest.mark.parametrize(
    ("settings", "annotations"),
    [
        ({}, {"linkerd.io/inject": "enabled"}),
        ({"meshed": False}, {"linkerd.io/inject": "disabled"}),
        (
            {"defaultInboundPolicy": "deny"},
            {"linkerd.io/inject": "enabled", "config.linkerd.io/default-inbound-policy": "deny"},
        ),
    ],
    ids=["default", "unmeshed", "inbound-policy"],
)
def test_pod_annotations_set_injection_and_inbound_policy(
    settings: dict[str, Any], annotations: dict[str, str]
) -> None:
    assert pod_annotations(podinfo_sample(**settings)) == annotations


@pytest.mark.parametrize(
    ("location", "extra_locations"),
    [
        ("return 500;", {}),
        (proxy_directives("podinfo", 9898), mirror_locations({"east": "podinfo-east.test.svc.cluster.local"}, 9898)),
    ],
    ids=["error-injector", "frontend"],
)
def test_nginx_listens_on_service_port_and_writes_to_tmp(location: str, extra_locations: dict[str, str]) -> None:
    text = nginx_configuration(location, extra_locations)

    depth = 0
    for brace in re.findall("[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert "listen 8080;" in text
    for directives in (location, *extra_locations.values()):
        assert all(line.strip() in text for line in directives.splitlines())
    paths = re.findall(r"^\s*(?:pid|\w+_temp_path|error_log|access_log)\s+(\S+);", text, re.MULTILINE)
    assert len(paths) == 8
    assert all(path.startswith(("/tmp/", "/dev/std")) for path in paths), "the root file system is read-only"
    statements = [line.strip() for line in text.splitlines()]
    assert all(line.endswith((";", "{", "}")) for line in statements), statements
    assert not re.search(r"^\s*user\b", text, re.MULTILINE), "only root can switch users"
