"""Checks of declared services and namespaces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh import config
from mesh.preflight import declared_namespaces, declared_services, foreign_traffic_rules, refused_probes
from mesh.preflight.declared_target import DeclaredTarget, find_declared_target
from mesh.preflight.service_reader import DeclaredObjects, parse_service, read_declared_objects
from mesh.preflight.target import CheckTarget
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, check_target, serve
from tests.helpers.stack_files import Environment

EXPORTED = "mirror.linkerd.io/exported"
SERVICES_PATH = "/api/v1/namespaces/shop/services"
SPLIT = {"cluster": "east", "weights": {"east": 1}}


def build_target(environment: Environment, service: dict[str, Any], cluster: str = "east", **stack: Any) -> CheckTarget:
    content = {"clusters": {"west": {}, "east": {}}, "topology": "full-mesh", "services": {"shop/cart": service}}
    settings = config.parse({**content, **stack}, environment)
    [selected] = [each for each in settings.clusters if each.name == cluster]
    return replace(check_target(cluster), declared=find_declared_target(settings, selected))


def build_service(*ports: int, **spec: Any) -> dict[str, Any]:
    entries = [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in ports]
    return {
        "metadata": {"name": "cart", "namespace": "shop", "labels": {}},
        "spec": {"ports": entries, "selector": {"app": "cart"}, **spec},
    }


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
def test_policy_of_port_without_proxy_is_reported(
    environment: Environment, ports: list[int | str], has_policy: bool, count: int
) -> None:
    service: dict[str, Any] = {
        "clusters": ["east"],
        **({"allow": [{"from": "*"}]} if has_policy else {"splits": [SPLIT]}),
    }
    target = build_target(environment, service, namespaces={"shop": {"clusters": ["east"], "skipInboundPorts": ports}})

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


def read(target: CheckTarget, objects: dict[str, Any]) -> tuple[list[str], DeclaredObjects]:
    server = FakeApiServer(objects=objects)
    with serve(server):
        client = build_kube_client(server.server)
        live = read_declared_objects(client, target.declared)
        findings = [*foreign_traffic_rules.check(target, live, client), *refused_probes.check(target, live, client)]
    return [str(each) for each in findings], live


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
        "/apis/policy.linkerd.io/v1beta1/namespaces/shop/servers/proxy-admin": {
            "metadata": {"managedFields": [{"manager": name}]}
        },
    }

    faults, _ = read(replace(target, adopt=adopt), objects)

    assert len(faults) == count
    assert all(
        "namespaces.shop: east: has the Server proxy-admin, set by kubectl-client-side" in each for each in faults
    )


PROBES = {
    "grpc": {"grpc": {"port": 80}},
    "http": {"httpGet": {"port": "main", "path": "/ready"}},
    "https": {"httpGet": {"port": 80, "scheme": "HTTPS"}},
    "exec": {"exec": {"command": ["true"]}},
    "other-port": {"grpc": {"port": 81}},
}
OPEN, CLOSED = {"networks": ["10.0.0.0/8"]}, {"from": "*"}


def build_pod(probe: str, key: str = "containers", **metadata: Any) -> dict[str, Any]:
    container = {"ports": [{"name": "main", "containerPort": 80}], "readinessProbe": PROBES[probe]}
    return {"metadata": {"name": "cart-1", "labels": {"app": "cart"}, **metadata}, "spec": {key: [container]}}


@pytest.mark.parametrize(
    ("probe", "protocol", "allow", "rule"),
    [
        ("grpc", "detect", CLOSED, "a gRPC probe on port 80, and the policy would refuse it, because the kubelet"),
        ("grpc", "grpc", OPEN, None),
        ("http", "http", CLOSED, None),
        ("http", "detect", CLOSED, None),
        (
            "http",
            "tcp",
            CLOSED,
            "an HTTP probe on port 80, and the policy would refuse it, because Linkerd cannot",
        ),
        ("http", "tcp", OPEN, None),
        ("http", "grpc", OPEN, "an HTTP probe on port 80, and the policy would refuse it, because the port's protocol"),
        ("http", "http2", CLOSED, "because the port's protocol is http2, and the kubelet sends HTTP/1"),
        ("https", "detect", CLOSED, "an HTTPS probe on port 80"),
        ("https", "detect", OPEN, None),
        ("exec", "detect", CLOSED, None),
        ("other-port", "detect", CLOSED, None),
    ],
)
@pytest.mark.parametrize("key", ["containers", "initContainers"])
def test_probe_that_policy_refuses_is_reported(
    environment: Environment, probe: str, protocol: str, allow: dict[str, Any], rule: str | None, key: str
) -> None:
    service = {"clusters": ["east"], "ports": [{"port": 80, "protocol": protocol}], "allow": [allow]}
    pods = {"items": [build_pod(probe, key)]}
    objects = {f"{SERVICES_PATH}/cart": build_service(80), "/api/v1/namespaces/shop/pods": pods}

    faults, _ = read(build_target(environment, service), objects)

    assert len(faults) == (rule is not None)
    assert all(each.startswith("services.shop/cart.allow: east: its pods have ") for each in faults)
    assert all((rule or "") in each for each in faults)


POLICY = "config.linkerd.io/default-inbound-policy"


@pytest.mark.parametrize(
    ("pod", "namespace", "live_policy", "severity"),
    [
        (build_pod("grpc"), {}, None, "error"),
        (build_pod("https"), {"defaultInboundPolicy": "deny"}, None, "error"),
        (build_pod("grpc"), {}, "all-authenticated", "warning"),
        (build_pod("http"), {}, None, None),
        (build_pod("grpc"), {"defaultInboundPolicy": "cluster-unauthenticated"}, None, None),
        (build_pod("grpc"), {"meshed": False}, None, None),
        (build_pod("grpc", annotations={"linkerd.io/inject": "disabled"}), {}, None, None),
        (build_pod("grpc", annotations={POLICY: "all-unauthenticated"}), {}, None, None),
    ],
    ids=["grpc", "https", "present", "http", "open-policy", "unmeshed", "excluded-pod", "own-policy"],
)
def test_probe_that_default_policy_refuses_is_reported(
    environment: Environment,
    pod: dict[str, Any],
    namespace: dict[str, Any],
    live_policy: str | None,
    severity: str | None,
) -> None:
    settings = {"clusters": ["east"], "meshed": True, "defaultInboundPolicy": "all-authenticated", **namespace}
    target = build_target(environment, {"exported": ["east"]}, namespaces={"shop": settings})
    objects = {
        "/api/v1/namespaces/shop": {"metadata": {"annotations": {POLICY: live_policy} if live_policy else {}}},
        "/api/v1/namespaces/shop/pods": {"items": [pod]},
    }
    with serve(FakeApiServer(objects=objects)) as server:
        client = build_kube_client(server.server)
        findings = list(refused_probes.check(target, read_declared_objects(client, target.declared), client))

    assert [each.severity.value for each in findings] == ([severity] if severity is not None else [])
    assert all(each.path == "namespaces.shop.defaultInboundPolicy" for each in findings)
    assert all("in east, pod cart-1 has a" in each.rule for each in findings)


def test_probe_that_service_allows_passes_default_policy(environment: Environment) -> None:
    namespaces = {"shop": {"clusters": ["east"], "meshed": True, "defaultInboundPolicy": "deny"}}
    target = build_target(environment, {"clusters": ["east"], "allow": [OPEN]}, namespaces=namespaces)
    objects = {
        f"{SERVICES_PATH}/cart": build_service(80),
        "/api/v1/namespaces/shop": {"metadata": {}},
        "/api/v1/namespaces/shop/pods": {"items": [build_pod("grpc")]},
    }

    faults, _ = read(target, objects)

    assert faults == []


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


@pytest.mark.parametrize("container_port", [[80], {"port": 80}], ids=repr)
def test_malformed_container_port_has_no_probe(environment: Environment, container_port: Any) -> None:
    target = build_target(environment, {"clusters": ["east"], "allow": [{"from": "*"}]})
    service = build_service(80)
    service["spec"]["ports"][0]["targetPort"] = "grpc"
    container = {"ports": [{"name": "grpc", "containerPort": container_port}], "readinessProbe": {"grpc": {"port": 80}}}
    pods = {"items": [{"spec": {"containers": [container]}}]}

    faults, _ = read(target, {f"{SERVICES_PATH}/cart": service, "/api/v1/namespaces/shop/pods": pods})

    assert faults == []


@pytest.mark.parametrize("body", [{}, {"spec": None}, {"spec": {"ports": "80", "selector": [1]}, "metadata": []}])
def test_malformed_service_has_no_ports(body: dict[str, Any]) -> None:
    live = parse_service(body)

    assert (live.ports, live.selector, live.labels) == ((), {}, {})
