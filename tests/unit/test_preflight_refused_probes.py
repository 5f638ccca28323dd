"""Check for probes that a policy would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.preflight import refused_probes
from mesh.preflight.service_reader import read_declared_objects
from tests.helpers.declared_checks import SERVICES_PATH, build_service, build_target, read
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, serve
from tests.helpers.stack_files import Environment

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
@pytest.mark.parametrize("create", [False, True], ids=["foreign-namespace", "own-namespace"])
def test_probe_that_default_policy_refuses_is_reported(
    environment: Environment,
    pod: dict[str, Any],
    namespace: dict[str, Any],
    live_policy: str | None,
    severity: str | None,
    create: bool,
) -> None:
    defaults = {"clusters": ["east"], "create": create, "meshed": True, "defaultInboundPolicy": "all-authenticated"}
    settings = {**defaults, **namespace}
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


@pytest.mark.parametrize("container_port", [[80], {"port": 80}], ids=repr)
def test_malformed_container_port_has_no_probe(environment: Environment, container_port: Any) -> None:
    target = build_target(environment, {"clusters": ["east"], "allow": [{"from": "*"}]})
    service = build_service(80)
    service["spec"]["ports"][0]["targetPort"] = "grpc"
    container = {"ports": [{"name": "grpc", "containerPort": container_port}], "readinessProbe": {"grpc": {"port": 80}}}
    pods = {"items": [{"spec": {"containers": [container]}}]}

    faults, _ = read(target, {f"{SERVICES_PATH}/cart": service, "/api/v1/namespaces/shop/pods": pods})

    assert faults == []
