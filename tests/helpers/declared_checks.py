"""Checks of declared services and namespaces, with the answers of a fake API server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mesh import config
from mesh.preflight import foreign_traffic_rules, refused_probes
from mesh.preflight.declared_target import find_declared_target
from mesh.preflight.service_reader import DeclaredObjects, read_declared_objects
from mesh.preflight.target import CheckTarget
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, check_target, serve
from tests.helpers.stack_files import Environment

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


def read(target: CheckTarget, objects: dict[str, Any]) -> tuple[list[str], DeclaredObjects]:
    server = FakeApiServer(objects=objects)
    with serve(server):
        client = build_kube_client(server.server)
        live = read_declared_objects(client, target.declared)
        findings = [*foreign_traffic_rules.check(target, live, client), *refused_probes.check(target, live, client)]
    return [str(each) for each in findings], live
