"""Clients that declared services allow: identities, networks, and the gateway between clusters."""

from __future__ import annotations

from typing import Any

import pytest

from mesh import config
from mesh.service_policy import Permission, resolve_permissions
from tests.helpers.declared_services import RunWithServices, live_service, run_with_services
from tests.helpers.stack_files import Environment

__all__ = ["run_with_services"]

SUFFIX = "serviceaccount.identity.linkerd.cluster.local"
GATEWAY = f"linkerd-gateway.linkerd-multicluster.{SUFFIX}"
FLAT = {name: {"networks": {"flat": "office"}} for name in ("west", "east")}


def build_stack(*allow: dict[str, Any], flat: bool = False, **settings: Any) -> dict[str, Any]:
    return {
        "clusters": FLAT if flat else {"west": {}, "east": {}},
        "topology": "full-mesh",
        "services": {"shop/cart": {"exported": ["east"], "allow": list(allow), **settings}},
    }


def resolve(environment: Environment, stack: dict[str, Any], cluster: str = "east") -> list[Permission]:
    settings = config.parse(stack, environment)
    [target] = [each for each in settings.clusters if each.name == cluster]
    return resolve_permissions(settings.services[0], target, settings)


@pytest.mark.parametrize(
    ("entry", "permission"),
    [
        ({"from": "ops/web"}, Permission(identities=(f"web.ops.{SUFFIX}",))),
        ({"from": "ops/*"}, Permission(identities=(f"*.ops.{SUFFIX}",))),
        ({"from": "*"}, Permission(identities=("*",))),
        ({"from": "ops/web", "clusters": ["west"]}, Permission(identities=(GATEWAY,))),
        ({"from": "ops/web", "clusters": ["east", "west"]}, Permission(identities=(f"web.ops.{SUFFIX}", GATEWAY))),
        ({"networks": ["10.0.0.0/8"]}, Permission(networks=("10.0.0.0/8",))),
        ({"unauthenticated": True}, Permission(networks=("0.0.0.0/0", "::/0"))),
        (
            {"from": "ops/web", "networks": ["10.0.0.0/8"]},
            Permission(identities=(f"web.ops.{SUFFIX}",), networks=("10.0.0.0/8",)),
        ),
    ],
    ids=["account", "namespace", "mesh", "gateway", "both-clusters", "network", "anybody", "account-and-network"],
)
def test_entry_becomes_identities_and_networks(
    environment: Environment, entry: dict[str, Any], permission: Permission
) -> None:
    assert resolve(environment, build_stack(entry)) == [permission]


def test_client_on_flat_network_has_its_own_identity(environment: Environment) -> None:
    stack = build_stack({"from": "ops/web", "clusters": ["west"]}, flat=True)
    stack["clusters"] = {**FLAT, "west": {**FLAT["west"], "linkerd": {"trustDomain": "west.example.com"}}}

    [permission] = resolve(environment, stack)

    assert permission.identities == ("web.ops.serviceaccount.identity.linkerd.west.example.com",)


def test_entries_of_one_kind_share_a_permission(environment: Environment) -> None:
    entries: list[dict[str, Any]] = [
        {"from": "ops/web"},
        {"networks": ["10.0.0.0/8"]},
        {"from": "ops/api"},
        {"networks": ["192.0.2.0/24"]},
    ]

    permissions = resolve(environment, build_stack(*entries))

    assert permissions == [
        Permission(identities=(f"web.ops.{SUFFIX}", f"api.ops.{SUFFIX}")),
        Permission(networks=("10.0.0.0/8", "192.0.2.0/24")),
    ]
    assert [each.name for each in permissions] == ["identities", "networks"]


@pytest.mark.parametrize(
    ("allow", "settings", "error"),
    [
        ([], {}, "allow: []: no client could call the service; allow at least one"),
        ([{}], {}, "allow[0]: …: selects no clients; set from, identities, networks or unauthenticated"),
        ([{"clusters": ["west"]}], {}, "allow[0].clusters: …: has no effect without from"),
        ([{"from": "ops/a..b"}], {}, 'allow[0].from: "ops/a..b": neither a service account nor a namespace'),
        ([{"from": "ops/web", "clusters": []}], {}, "allow[0].clusters: []: names no cluster"),
        (
            [{"from": "ops/web", "unauthenticated": True}],
            {},
            "unauthenticated: true: clients without an identity match",
        ),
        ([{"from": "ops/web", "identities": ["*"]}], {}, "identities: …: a client has one identity"),
        ([{"unauthenticatedTLS": True}], {}, "an AuthorizationPolicy cannot express clients with TLS"),
        (
            [{"from": "ops/web", "clusters": ["west"], "networks": ["10.0.0.0/8"]}],
            {},
            "networks: …: through a gateway, requests have the address of the gateway's pods",
        ),
        (
            [{"from": "ops/web", "clusters": ["west"]}],
            {"exported": [], "clusters": ["east"]},
            'clusters[0]: "west": its clients cannot reach the service: no linked cluster exports shop/cart to west',
        ),
    ],
    ids=[
        "nobody",
        "empty",
        "only-clusters",
        "two-dots",
        "no-cluster",
        "contradiction",
        "two-identities",
        "tls",
        "gateway-network",
        "not-exported",
    ],
)
def test_client_that_cannot_be_expressed_is_refused(
    environment: Environment, allow: list[dict[str, Any]], settings: dict[str, Any], error: str
) -> None:
    with pytest.raises(config.SettingsError) as raised:
        config.parse(build_stack(*allow, **settings), environment)

    assert any(error in each for each in raised.value.errors), raised.value.errors


@pytest.mark.parametrize("namespace", ["linkerd", "linkerd-multicluster"])
def test_policy_of_linkerd_itself_is_refused(environment: Environment, namespace: str) -> None:
    services = {f"{namespace}/web": {"clusters": ["east"], "allow": [{"from": "*"}]}}

    with pytest.raises(config.SettingsError, match=f"Linkerd's charts create the policies in namespace {namespace}"):
        config.parse({**build_stack({"from": "*"}), "services": services}, environment)


@pytest.mark.parametrize(
    ("entry", "warning"),
    [
        ({"from": "ops/web", "clusters": ["west"]}, "allows every client that can use the gateway"),
        ({"from": "ops/web"}, "exported to west, but allows no client there, so their requests are refused"),
        ({"from": "*"}, None),
        ({"unauthenticated": True}, None),
    ],
    ids=["gateway", "locked-out", "mesh", "anybody"],
)
def test_gateway_between_clusters_is_warned_of(
    environment: Environment, entry: dict[str, Any], warning: str | None
) -> None:
    warnings = [each for each in config.parse(build_stack(entry), environment).warnings if "allow" in each]

    assert [warning in each for each in warnings if warning is not None] == ([True] if warning is not None else [])
    assert warning is not None or not warnings


def test_cluster_without_allowed_clients_is_warned_of(environment: Environment) -> None:
    stack = build_stack({"from": "ops/web", "clusters": ["west"]}, clusters=["east", "north"])
    stack["clusters"]["north"] = {}

    [warning] = [each for each in config.parse(stack, environment).warnings if "all requests there" in each]

    assert warning.startswith("services.shop/cart.allow: …: allows no client that can reach the service in north, so")
    assert resolve(environment, stack, "north") == []


def test_service_without_export_has_no_warning(environment: Environment) -> None:
    stack = build_stack({"from": "ops/web"}, clusters=["east"], exported=[])

    assert config.parse(stack, environment).warnings == ()


def test_policy_has_one_server_per_port_of_pods(run_with_services: RunWithServices) -> None:
    services = {("east", "shop", "cart"): live_service(("http", 80), ("admin", 8081))}
    stack = build_stack({"from": "ops/web"}, {"networks": ["10.0.0.0/8"]}, ports=[{"port": 80, "protocol": "grpc"}])

    recorder = run_with_services(stack, services)

    servers = {name: each for name, each in recorder.inputs_of(":Server").items() if "cart" in name}
    [(name, server)] = servers.items()
    assert server["spec"] == {
        "podSelector": {"matchLabels": {"app": "cart"}},
        "port": 80,
        "proxyProtocol": "gRPC",
    }
    assert recorder.dependencies_of(":Server", name) >= {
        "AuthorizationPolicy east-shop.cart.policy-80.identities",
        "AuthorizationPolicy east-shop.cart.policy-80.networks",
    }
    policies = recorder.inputs_of(":AuthorizationPolicy")
    references = policies["east-shop.cart.policy-80.networks"]["spec"]["requiredAuthenticationRefs"]
    assert [(each["kind"], each["name"]) for each in references] == [("NetworkAuthentication", "cart.networks")]


def test_older_form_has_server_authorizations(run_with_services: RunWithServices) -> None:
    services = {("east", "shop", "cart"): live_service(80)}
    allow = ({"from": "ops/web"}, {"unauthenticatedTLS": True})

    recorder = run_with_services(build_stack(*allow, policy="server-authorization"), services)

    resources = recorder.inputs_of(":ServerAuthorization").items()
    authorizations = [each["spec"] for name, each in resources if "cart" in name]
    [server] = recorder.inputs_of(":Server").values()
    assert [each["server"]["selector"]["matchLabels"] for each in authorizations] == [server["metadata"]["labels"]] * 2
    clients = [each["client"] for each in authorizations]
    networks = [{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}]
    assert clients == [
        {"meshTLS": {"identities": [f"web.ops.{SUFFIX}"]}, "networks": networks},
        {"meshTLS": {"unauthenticatedTLS": True}, "networks": networks},
    ]


@pytest.mark.parametrize(
    ("mesh", "namespace", "is_refused"),
    [
        ({}, {}, False),
        ({}, {"defaultInboundPolicy": "deny"}, True),
        ({"defaultInboundPolicy": "deny"}, {}, True),
        ({"defaultInboundPolicy": "deny"}, {"defaultInboundPolicy": "all-authenticated"}, False),
    ],
    ids=["open", "namespace", "mesh", "exception"],
)
def test_default_policy_keeps_viz_and_reports_gateway(
    environment: Environment,
    run_with_services: RunWithServices,
    mesh: dict[str, Any],
    namespace: dict[str, Any],
    is_refused: bool,
) -> None:
    stack = {
        "clusters": {"west": {}, "east": {}},
        "topology": "full-mesh",
        "linkerd": mesh,
        "extensions": {"viz": True},
        "namespaces": {"shop": {"clusters": ["east"], "meshed": True, **namespace}},
        "services": {"shop/cart": {"exported": ["east"]}},
    }

    warnings = [each for each in config.parse(stack, environment).warnings if "shop/cart" in each]
    recorder = run_with_services(stack, {("east", "shop", "cart"): live_service(80)}, [("east", "shop")])

    assert ["defaultInboundPolicy: deny refuses all requests to it in east" in each for each in warnings] == (
        [True] if is_refused else []
    )
    servers = [each["metadata"]["name"] for each in recorder.inputs_of(":Server").values()]
    assert servers == (["proxy-admin"] if is_refused else [])


@pytest.mark.parametrize(
    ("sample", "mesh", "has_access"),
    [
        ({"defaultInboundPolicy": "deny"}, {}, True),
        ({}, {"defaultInboundPolicy": "deny"}, True),
        ({"defaultInboundPolicy": "all-authenticated"}, {"defaultInboundPolicy": "deny"}, False),
        ({"defaultInboundPolicy": "deny", "meshed": False}, {}, False),
        ({}, {}, False),
    ],
    ids=["sample", "mesh", "exception", "unmeshed", "open"],
)
def test_default_policy_of_sample_keeps_viz(
    run_with_services: RunWithServices, sample: dict[str, Any], mesh: dict[str, Any], has_access: bool
) -> None:
    workloads = [{"podinfo": {"clusters": ["east"], **sample}}]
    clusters = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh", "extensions": {"viz": True}}

    recorder = run_with_services({**clusters, "linkerd": mesh, "workloads": workloads}, {})

    servers = [each["metadata"]["name"] for each in recorder.inputs_of(":Server").values()]
    assert servers == ["proxy-admin"] * has_access


def test_policies_precede_proxies_that_obey_default_policy(run_with_services: RunWithServices) -> None:
    stack = build_stack({"from": "ops/web"})
    namespace = {"clusters": ["east"], "meshed": True, "restart": True, "defaultInboundPolicy": "deny"}
    stack |= {"extensions": {"viz": True}, "namespaces": {"shop": namespace}}

    recorder = run_with_services(stack, {("east", "shop", "cart"): live_service(80)}, [("east", "shop")])

    policies = {f"Server {name}" for name in recorder.inputs_of(":Server")}
    assert len(policies) == 2  # the port of cart, and the metrics of the proxies
    for kind, role in ((":ProxyCleanup", "proxies"), (":ObjectMetadata", "annotations"), ("index:Stash", "restart")):
        assert policies <= recorder.dependencies_of(kind, f"east-shop-{role}"), kind
