"""Resources of services and namespaces that others deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh import config
from mesh.config.validation.services import SAMPLE_SERVICES
from tests.helpers.declared_services import RunWithServices, live_service, run_with_services
from tests.helpers.mock_engine import mesh_config
from tests.helpers.stack_files import Environment

__all__ = ["run_with_services"]

TWO_CLUSTERS = mesh_config("west", "east", links=[("west", "east")])
CARTS = {(cluster, "shop", "cart"): live_service(80) for cluster in ("west", "east")}
SPLIT = {"cluster": "west", "weights": {"west": 90, "east": 10}}


def shop_config(version: str = "2.14.10", **settings: Any) -> dict[str, Any]:
    return {**TWO_CLUSTERS, "linkerd": {"version": version}, "services": {"shop/cart": settings}}


def test_export_sets_label_of_service(run_with_services: RunWithServices) -> None:
    recorder = run_with_services(shop_config(exported=["east"]), CARTS)

    assert recorder.export_labels() == {("east", "shop", "cart"): {"mirror.linkerd.io/exported": "true"}}
    assert list(recorder.inputs_of(":Service")) == ["east-multicluster-gateway"]


def test_export_follows_gateway_and_cleanup(run_with_services: RunWithServices) -> None:
    recorder = run_with_services(shop_config(exported=["east"]), CARTS)

    dependencies = recorder.dependencies_of(":ServiceExport", "east-shop.cart.exported")
    assert {"ExportCleanup east-shop.cart.export-west", "ReleaseDrift east-multicluster-drift"} <= dependencies


def test_split_follows_mirrors(run_with_services: RunWithServices) -> None:
    recorder = run_with_services(shop_config(exported=["east"], splits=[SPLIT]), CARTS)

    [(name, route)] = recorder.inputs_of(":HTTPRoute").items()
    assert (name, route["metadata"]["name"], route["metadata"]["namespace"]) == (
        "west-shop.cart.split-80",
        "cart.80",
        "shop",
    )
    [rule] = route["spec"]["rules"]
    assert [(each["name"], each["port"], each["weight"]) for each in rule["backendRefs"]] == [
        ("cart", 80, 90),
        ("cart-east", 80, 10),
    ]
    assert "Stash east-shop.cart.mirrors" in recorder.dependencies_of(":HTTPRoute", name)


@pytest.mark.parametrize(
    ("version", "kinds"),
    [("2.14.10", {"HTTPRoute": [80, 9000]}), ("2.20", {"HTTPRoute": [80], "GRPCRoute": [9000]})],
)
def test_port_has_route_of_its_protocol(
    run_with_services: RunWithServices, version: str, kinds: dict[str, list[int]]
) -> None:
    ports = [80, {"port": 9000, "protocol": "grpc"}, {"port": 5432, "protocol": "tcp"}]
    services = dict.fromkeys(CARTS, live_service(("http", 80), ("grpc", 9000), ("db", 5432), ("debug", 6060)))

    recorder = run_with_services(shop_config(version, exported=["east"], splits=[SPLIT], ports=ports), services)

    ports_by_kind = {
        kind: [route["spec"]["parentRefs"][0]["port"] for route in recorder.inputs_of(f":{kind}").values()]
        for kind in kinds
    }
    assert ports_by_kind == kinds


@pytest.mark.parametrize(("profile", "is_annotated"), [(None, True), ({"form": "gateway-api"}, True), ({}, False)])
def test_failover_annotates_service_unless_it_has_service_profile(
    run_with_services: RunWithServices, profile: dict[str, Any] | None, is_annotated: bool
) -> None:
    route = {"routes": [{"method": "GET", "pathRegex": "/"}]}
    settings = {} if profile is None else {"profile": {**route, **profile}}
    failover = [{"cluster": "west", "to": ["east"]}]

    recorder = run_with_services(shop_config("2.20", exported=["east"], failover=failover, **settings), CARTS)

    metadata = recorder.inputs_of(":ObjectMetadata")
    assert list(metadata) == (["west-shop.cart.failure-accrual"] if is_annotated else [])


def test_missing_optional_service_has_no_resources(run_with_services: RunWithServices) -> None:
    recorder = run_with_services(shop_config(exported=["east"], optional=True), {})

    assert recorder.export_labels() == {}


def test_traffic_split_includes_tcp_ports(run_with_services: RunWithServices) -> None:
    ports = [{"port": 80, "protocol": "tcp"}]
    stack = shop_config(exported=["east"], splits=[SPLIT], ports=ports)

    recorder = run_with_services({**stack, "extensions": {"smi": True}}, CARTS)

    assert list(recorder.inputs_of(":TrafficSplit")) == ["west-shop.cart.split"]


def test_split_waits_for_pending_service(run_with_services: RunWithServices) -> None:
    stack = shop_config(exported=["east"], splits=[SPLIT], optional=True)

    recorder = run_with_services(stack, {("west", "shop", "cart"): live_service(80)})

    assert not recorder.inputs_of(":HTTPRoute")


def test_every_service_of_samples_is_reserved(run_with_services: RunWithServices) -> None:
    samples = [
        {"podinfo": {"frontend": ["west"]}},
        {"helloworld": {"sleep": ["west"]}},
        {"booksapp": {"faultInjection": {}}},
        {"emojivoto": {}},
    ]

    recorder = run_with_services({**TWO_CLUSTERS, "workloads": samples}, {})

    services = recorder.inputs_of("core/v1:Service").values()
    # The gateway's Service is only read.
    created = {each["metadata"]["name"] for each in services if "metadata" in each}
    # The sample userlist needs a ClusterMesh.
    assert created == {name for sample, names in SAMPLE_SERVICES.items() if sample != "userlist" for name in names}


@pytest.mark.parametrize(("namespaces", "expected"), [([("west", "shop")], ("uid", True)), ([], ("", False))])
def test_objects_are_replaced_with_namespace_of_another_owner(
    run_with_services: RunWithServices, namespaces: list[tuple[str, str]], expected: tuple[str, bool]
) -> None:
    recorder = run_with_services(shop_config(exported=["east"], splits=[SPLIT]), CARTS, namespaces)

    assert recorder.registration(":HTTPRoute", "west-shop.cart.split-80").replacement == expected


def test_created_namespace_has_annotations(run_with_services: RunWithServices) -> None:
    namespace = {"clusters": ["east"], "create": True, "meshed": True, "opaquePorts": [5432, "6000-6010"]}

    recorder = run_with_services({**TWO_CLUSTERS, "namespaces": {"billing": namespace}}, {})

    metadata = recorder.inputs_of("core/v1:Namespace")["east-billing-namespace"]["metadata"]
    assert (
        metadata["annotations"].items()
        >= {
            "linkerd.io/inject": "enabled",
            "config.linkerd.io/opaque-ports": "5432,6000-6010",
        }.items()
    )


def test_same_service_of_three_clusters_is_federated(run_with_services: RunWithServices) -> None:
    names = ("west", "east", "north")
    clusters = {name: {"networks": {"flat": "office"}} for name in names}
    services = {(name, "shop", "cart"): live_service(80) for name in names}
    stack = {"clusters": clusters, "topology": "full-mesh", "services": {"shop/cart": {"federated": list(names)}}}

    recorder = run_with_services({**stack, "linkerd": {"version": "2.20"}}, services)

    assert recorder.export_labels() == {key: {"mirror.linkerd.io/federated": "member"} for key in services}


OPENAPI = """\
swagger: "2.0"
info: {title: cart, version: "1"}
paths:
  /items/{id}:
    get:
      x-linkerd-timeout: 300ms
      x-linkerd-retryable: true
      responses: {"200": {}, "500": {}}
"""


def test_profile_has_routes_of_document(run_with_services: RunWithServices, tmp_path: Path) -> None:
    (tmp_path / "cart.yaml").write_text(OPENAPI)

    recorder = run_with_services(
        shop_config(clusters=["east"], profile={"openapi": str(tmp_path / "cart.yaml")}), CARTS
    )

    [profile] = recorder.inputs_of(":ServiceProfile").values()
    assert profile["metadata"]["name"] == "cart.shop.svc.cluster.local"
    status = {"condition": {"status": {"min": 200, "max": 200}}}
    failure = {"condition": {"status": {"min": 500, "max": 500}}, "isFailure": True}
    assert profile["spec"] == {
        "routes": [
            {
                "name": "GET /items/{id}",
                "condition": {"method": "GET", "pathRegex": "/items/[^/]*"},
                "timeout": "300ms",
                "isRetryable": True,
                "responseClasses": [status, failure],
            }
        ]
    }


def test_broken_document_is_reported_with_line(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "cart.yaml").write_text(OPENAPI.replace("300ms", "soon"))
    stack = shop_config(profile={"openapi": "cart.yaml"})

    with pytest.raises(config.SettingsError) as raised:
        config.parse(stack, environment, folder=tmp_path)

    [error] = raised.value.errors
    assert error.startswith('services.shop/cart.profile.openapi: "cart.yaml": line 6: ')


def test_document_of_many_routes_needs_service_profile(environment: Environment, tmp_path: Path) -> None:
    paths = "".join(f"  /{number}: {{ get: {{ responses: {{}} }} }}\n" for number in range(1001))
    (tmp_path / "cart.yaml").write_text(f'swagger: "2.0"\npaths:\n{paths}')
    profile = {"openapi": "cart.yaml", "form": "gateway-api"}

    with pytest.raises(config.SettingsError, match="1001 routes would be as many HTTPRoutes, more than 1000; choose"):
        config.parse(shop_config("2.20", profile=profile), environment, folder=tmp_path)


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ({}, "profile: …: has no routes; set routes, openapi or protobuf"),
        (
            {"openapi": "a.yaml", "protobuf": "a.proto"},
            "protobuf: …: openapi has the routes already; remove one of",
        ),
        ({"protobuf": "missing.proto"}, 'protobuf: "missing.proto": no such file or directory; write the path of the'),
    ],
    ids=["none", "two", "missing"],
)
def test_profile_needs_one_source_of_routes(
    environment: Environment, tmp_path: Path, profile: dict[str, Any], error: str
) -> None:
    with pytest.raises(config.SettingsError) as raised:
        config.parse(shop_config(profile=profile), environment, folder=tmp_path)

    assert any(error in each for each in raised.value.errors), raised.value.errors


def test_namespace_of_another_owner_joins_mesh(run_with_services: RunWithServices) -> None:
    namespace = {"clusters": ["east"], "meshed": True, "restart": True, "opaquePorts": [5432]}
    stack = {**shop_config(exported=["east"]), "namespaces": {"shop": namespace}}

    recorder = run_with_services(stack, CARTS, [("east", "shop")])

    annotations = {"linkerd.io/inject": "enabled", "config.linkerd.io/opaque-ports": "5432"}
    [metadata] = recorder.inputs_of(":ObjectMetadata").values()
    assert (metadata["kind"], metadata["name"], metadata["annotations"]) == ("Namespace", "shop", annotations)
    control_plane = "ReleaseDrift east-linkerd-control-plane-drift"
    cleanup, metadata_name = "ProxyCleanup east-shop-proxies", "ObjectMetadata east-shop-annotations"
    assert control_plane in recorder.dependencies_of(":ProxyCleanup", "east-shop-proxies")
    assert {control_plane, cleanup} <= recorder.dependencies_of(":ObjectMetadata", "east-shop-annotations")
    assert {cleanup, metadata_name} <= recorder.dependencies_of("index:Stash", "east-shop-restart")
    assert recorder.inputs_of("index:Stash")["east-shop-restart"]["input"] == {
        "meshed": True,
        "annotations": annotations,
    }
    assert "Stash east-shop-restart" in recorder.dependencies_of(":ServiceExport", "east-shop.cart.exported")
    assert "east-shop-namespace" not in recorder.inputs_of("core/v1:Namespace")


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({"meshed": True}, {"ObjectMetadata"}),
        ({"meshed": False, "restart": True}, {"ObjectMetadata", "Stash"}),
        ({"opaquePorts": [25]}, {"ObjectMetadata"}),
        ({"meshed": True, "restart": True, "create": True}, {"Namespace", "Stash"}),
        ({}, set()),
    ],
)
def test_namespace_has_only_requested_resources(
    run_with_services: RunWithServices, settings: dict[str, Any], kinds: set[str]
) -> None:
    stack = {**TWO_CLUSTERS, "namespaces": {"shop": {"clusters": ["east"], **settings}}}

    recorder = run_with_services(stack, {}, [("east", "shop")])

    names = {"shop-namespace", "shop-annotations", "shop-proxies", "shop-restart"}
    created = {each.typ.rpartition(":")[2] for each in recorder.resources if each.name.removeprefix("east-") in names}
    assert created == kinds
