"""Checks of declared services and namespaces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.preflight import declared_namespaces, declared_services
from mesh.preflight.declared_target import DeclaredTarget
from mesh.preflight.service_reader import DeclaredObjects, parse_service
from mesh.preflight.target import CheckTarget
from tests.helpers.declared_checks import SERVICES_PATH, SPLIT, build_service, build_target, read
from tests.helpers.stack_files import Environment

EXPORTED = "mirror.linkerd.io/exported"


def find_faults(target: CheckTarget, *bodies: dict[str, Any]) -> list[str]:
    services = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in bodies}
    live = DeclaredObjects(services=services, namespaces={"shop": {}})
    findings = [*declared_services.check(target, live), *declared_namespaces.check(target, live)]
    return [str(each) for each in findings]


def with_label(value: str, *managers: str, label: str = EXPORTED) -> dict[str, Any]:
    fields: dict[str, Any] = {"f:metadata": {"f:labels": {f"f:{label}": {}}}}
    managed = [{"manager": manager, "operation": "Update", "fieldsV1": fields} for manager in managers]
    body = build_service(80)
    return {**body, "metadata": {**body["metadata"], "labels": {label: value}, "managedFields": managed}}


def test_service_as_declared_has_no_findings(environment: Environment) -> None:
    target = build_target(environment, {"exported": ["east"], "ports": [80]})

    assert find_faults(target, build_service(80)) == []


@pytest.mark.parametrize(
    ("service", "body", "fault"),
    [
        ({"exported": ["east"]}, None, "east: does not exist; deploy it, correct services.shop/cart.clusters, or set"),
        ({"exported": ["east"]}, build_service(), "east: has no TCP port"),
        ({"exported": ["east"], "ports": [81]}, build_service(80, 90), "ports: 81: east has no such TCP port of this"),
        ({"exported": ["east"]}, build_service(80, type="ExternalName"), "east: is an alias of another host"),
        ({"clusters": ["east"], "allow": [{"from": "*"}]}, build_service(80, selector=None), "east: has no selector"),
        ({"splits": [SPLIT]}, build_service(80, clusterIP="None"), "east: is headless"),
        (
            {"splits": [SPLIT], "ports": [{"port": 80, "protocol": "tcp"}]},
            build_service(80),
            "east: has no port for HTTP or gRPC",
        ),
        ({"exported": ["east"]}, with_label("x", "a", label="mirror.linkerd.io/mirrored-service"), "east: is a mirror"),
        (
            {"exported": ["east"]},
            with_label("false", "billing"),
            f"label {EXPORTED} is false, set by billing; run `kub",
        ),
    ],
    ids=["missing", "no-port", "unknown-port", "alias", "no-selector", "headless", "only-tcp", "mirror", "label"],
)
def test_service_that_cannot_be_used_is_reported(
    environment: Environment, service: dict[str, Any], body: dict[str, Any] | None, fault: str
) -> None:
    [line] = find_faults(build_target(environment, service), *([body] if body is not None else []))

    assert line.startswith("services.shop/cart")
    assert fault in line


@pytest.mark.parametrize("value", ["true", "false"])
def test_own_label_is_no_contradiction(environment: Environment, value: str) -> None:
    target = build_target(environment, {"exported": ["east"]})

    assert find_faults(target, with_label(value, f"{target.identity.field_manager}-exported")) == []


def test_equal_label_of_another_owner_is_accepted(environment: Environment) -> None:
    assert find_faults(build_target(environment, {"exported": ["east"]}), with_label("true", "helm")) == []


def test_export_by_hand_contradicts_membership(environment: Environment) -> None:
    clusters = {name: {"networks": {"flat": "office"}} for name in ("west", "east")}
    target = build_target(environment, {"federated": ["east"]}, clusters=clusters, linkerd={"version": "2.20"})

    [fault] = find_faults(target, with_label("true", "kubectl-label"))

    assert "set by kubectl-label, and contradicts the entry" in fault


def test_missing_optional_service_is_accepted(environment: Environment) -> None:
    assert find_faults(build_target(environment, {"exported": ["east"], "optional": True})) == []


def test_source_without_namespace_is_reported(environment: Environment) -> None:
    target = build_target(environment, {"exported": ["east"]}, cluster="west")

    [fault] = [str(each) for each in declared_namespaces.check(target, DeclaredObjects())]

    assert fault.startswith("services.shop/cart: west: has no namespace shop for the mirror of shop/cart from east; ")


@pytest.mark.parametrize(
    ("labels", "count"), [({}, 1), ({"mirror.linkerd.io/mirrored-service": "true"}, 0)], ids=["foreign", "mirror"]
)
def test_foreign_service_with_name_of_mirror_is_reported(
    environment: Environment, labels: dict[str, str], count: int
) -> None:
    target = build_target(environment, {"exported": ["east"]}, cluster="west")
    body = build_service(80)
    objects = {f"{SERVICES_PATH}/cart-east": {**body, "metadata": {"name": "cart-east", "labels": labels}}}

    _, live = read(target, objects)

    faults = [str(each) for each in declared_services.check(target, live)]
    assert len(faults) == count
    assert all("services.shop/cart: west: has a Service shop/cart-east of another owner" in each for each in faults)


@pytest.mark.parametrize(
    ("namespace", "count"), [({}, 1), ({"optional": True}, 0), ({"create": True}, 0)], ids=["plain", "optional", "own"]
)
def test_missing_namespace_is_reported(environment: Environment, namespace: dict[str, Any], count: int) -> None:
    namespaces = {"billing": {"clusters": ["east"], **namespace}}
    target = build_target(environment, {"exported": ["east"]}, namespaces=namespaces)

    faults = list(declared_namespaces.check(target, DeclaredObjects(namespaces={"shop": {}})))

    assert [each.path for each in faults] == ["namespaces.billing"] * count


@pytest.mark.parametrize("create", [False, True], ids=["foreign", "created"])
def test_namespace_that_injector_ignores_is_reported(environment: Environment, create: bool) -> None:
    namespaces = {"shop": {"clusters": ["east"], "create": create, "meshed": True}}
    target = build_target(environment, {"exported": ["east"]}, namespaces=namespaces)
    body = {"metadata": {"labels": {"config.linkerd.io/admission-webhooks": "disabled"}}}

    [fault] = [str(each) for each in declared_namespaces.check(target, DeclaredObjects(namespaces={"shop": body}))]

    assert fault.startswith("namespaces.shop: east: has the label config.linkerd.io/admission-webhooks: disabled")


def test_service_in_terminating_namespace_is_reported(environment: Environment) -> None:
    target = build_target(environment, {"clusters": ["east"], "splits": [SPLIT]})
    body = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Terminating"}}
    live = DeclaredObjects(services={("shop", "cart"): build_service(80)}, namespaces={"shop": body})

    [fault] = [str(each) for each in declared_namespaces.check(target, live)]

    assert fault.startswith("services.shop/cart: east: its namespace shop is being deleted; wait until")


@pytest.mark.parametrize(
    ("ports", "has_policy", "count"),
    [([80], True, 1), (["70-90"], True, 1), (["81-90", 25], True, 0), ([80], False, 0)],
    ids=["port", "range", "other-ports", "no-policy"],
)
@pytest.mark.parametrize("create", [False, True], ids=["foreign", "created"])
def test_policy_of_port_without_proxy_is_reported(
    environment: Environment, ports: list[int | str], has_policy: bool, count: int, create: bool
) -> None:
    service: dict[str, Any] = {
        "clusters": ["east"],
        **({"allow": [{"from": "*"}]} if has_policy else {"splits": [SPLIT]}),
    }
    namespace = {"clusters": ["east"], "create": create, "skipInboundPorts": ports}
    target = build_target(environment, service, namespaces={"shop": namespace})

    faults = [each for each in find_faults(target, build_service(80)) if "bypass" in each]

    assert len(faults) == count
    assert all("services.shop/cart: east: requests to its port 80 bypass the proxy" in each for each in faults)


def test_services_with_the_same_pods_are_reported(environment: Environment) -> None:
    target = build_target(environment, {"clusters": ["east"], "allow": [{"from": "*"}]})
    [service] = target.declared.services
    twin = replace(service, name="basket")
    both = replace(target, declared=DeclaredTarget(services=(service, twin)))
    other = build_service(80)

    [fault] = find_faults(both, build_service(80), {**other, "metadata": {"name": "basket", "namespace": "shop"}})

    assert "services.shop/basket: east: selects the same pods as shop/cart" in fault


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("split.smi-spec.io/v1alpha1/namespaces/shop/trafficsplits", {"spec": {"service": "cart"}}),
        (
            "gateway.networking.k8s.io/v1beta1/namespaces/shop/httproutes",
            {"spec": {"parentRefs": [{"kind": "Service", "name": "cart"}]}},
        ),
        ("linkerd.io/v1alpha2/namespaces/shop/serviceprofiles", {"metadata": {"name": "cart.shop.svc.cluster.local"}}),
    ],
    ids=["split", "route", "profile"],
)
@pytest.mark.parametrize(("manager", "count"), [("argocd", 1), ("own", 0)])
def test_rule_of_another_owner_is_reported(
    environment: Environment, path: str, body: dict[str, Any], manager: str, count: int
) -> None:
    target = build_target(environment, {"clusters": ["east"], "splits": [SPLIT]})
    name = target.identity.field_manager if manager == "own" else manager
    metadata = {"name": "theirs", **body.get("metadata", {}), "managedFields": [{"manager": name}]}
    objects = {f"{SERVICES_PATH}/cart": build_service(80), f"/apis/{path}": {"items": [{**body, "metadata": metadata}]}}

    faults, _ = read(target, objects)

    assert len(faults) == count
    assert all("set by argocd, is for this service too; delete it" in each for each in faults)


def test_route_for_service_of_another_namespace_is_accepted(environment: Environment) -> None:
    target = build_target(environment, {"clusters": ["east"], "splits": [SPLIT]})
    parent = {"kind": "Service", "name": "cart", "namespace": "billing"}
    route = {"metadata": {"name": "theirs"}, "spec": {"parentRefs": [parent]}}
    path = "/apis/gateway.networking.k8s.io/v1beta1/namespaces/shop/httproutes"

    faults, _ = read(target, {f"{SERVICES_PATH}/cart": build_service(80), path: {"items": [route]}})

    assert faults == []


@pytest.mark.parametrize(
    ("manager", "namespace", "adopt", "count"),
    [
        ("kubectl-client-side-apply", {}, False, 1),
        ("own", {}, False, 0),
        ("kubectl-client-side-apply", {"defaultInboundPolicy": "all-authenticated"}, False, 0),
        ("kubectl-client-side-apply", {}, True, 0),
    ],
    ids=["foreign", "own", "not-needed", "adopted"],
)
def test_access_of_viz_by_another_owner_is_reported(
    environment: Environment, manager: str, namespace: dict[str, Any], adopt: bool, count: int
) -> None:
    namespaces = {"shop": {"clusters": ["east"], "defaultInboundPolicy": "deny", **namespace}}
    service = {"exported": ["east"], "optional": True}
    target = build_target(environment, service, namespaces=namespaces, extensions={"viz": True})
    name = target.identity.field_manager if manager == "own" else manager
    objects = {
        "/api/v1/namespaces/shop": {"metadata": {}},
        "/apis/policy.linkerd.io/v1beta1/namespaces/shop/servers": {
            "items": [{"metadata": {"name": "proxy-admin", "managedFields": [{"manager": name}]}}]
        },
    }

    faults, _ = read(replace(target, adopt=adopt), objects)

    assert len(faults) == count
    assert all("clusters.east: " in each for each in faults)
    assert all("has the Server shop/proxy-admin, set by kubectl-client-side-apply" in each for each in faults)


def test_many_services_are_read_with_one_list(environment: Environment) -> None:
    target = build_target(environment, {"exported": ["east"]})
    [service] = target.declared.services
    many = tuple(replace(service, name=f"cart-{number}") for number in range(30))
    body = build_service(80)
    items = [{**body, "metadata": {"name": f"cart-{number}"}} for number in range(20)]

    _, live = read(replace(target, declared=DeclaredTarget(services=many)), {SERVICES_PATH: {"items": items}})

    assert len(live.services) == 20


@pytest.mark.parametrize("target_port", [[1], {"port": 1}, None, "", 0], ids=repr)
def test_malformed_target_port_is_the_port(target_port: Any) -> None:
    body = build_service(80)
    [port] = body["spec"]["ports"]

    [live_port] = parse_service({"spec": {"ports": [{**port, "targetPort": target_port}]}}).ports

    assert live_port.target == 80


@pytest.mark.parametrize("body", [{}, {"spec": None}, {"spec": {"ports": "80", "selector": [1]}, "metadata": []}])
def test_malformed_service_has_no_ports(body: dict[str, Any]) -> None:
    live = parse_service(body)

    assert (live.ports, live.selector, live.labels) == ((), {}, {})
