"""Changes of gateways and links that one update cannot make without losing requests."""

from __future__ import annotations

from typing import Any

import pytest

from mesh import config
from mesh.preflight import traffic_change
from mesh.preflight.traffic_change import check_switch
from mesh.traffic_changes import ExportSwitch, LostGateway, TrafficChanges, find_traffic_changes
from tests.helpers.fake_api_server import FakeApiServer, build_kube_client, check_target, serve
from tests.helpers.mock_engine import RunProgram, mesh_config
from tests.helpers.stack_files import Environment

LINKS = [("west", "east"), ("east", "west")]
PODINFO = {"podinfo": {"exported": ["east"]}}
BASE: dict[str, Any] = {**mesh_config("west", "east", links=LINKS), "linkerd": {"version": "2.14.10"}}
EXPORTING: dict[str, Any] = {**BASE, "workloads": [PODINFO]}
FLAT_CLUSTERS = {name: {"networks": {"flat": "lan"}} for name in ("west", "east")}
GATEWAY_LINKS = [{"source": "west", "target": "east", "gateway": True}]
FLAT_LINKS = [{"source": "west", "target": "east", "gateway": False}]


def find_changes(
    run: RunProgram, environment: Environment, former: dict[str, Any], changed: dict[str, Any]
) -> TrafficChanges:
    state = run(former).to_state_resources()
    return find_traffic_changes(config.parse(changed, environment), state)


def with_gateway(gateway: Any) -> dict[str, Any]:
    return {**EXPORTING, "clusters": {"west": {}, "east": {"gateway": gateway}}}


NODE_PORTS = {"nodePort": {"port": 30143, "probePort": 30191}, "addresses": ["192.0.2.9"]}


@pytest.mark.parametrize(
    ("former", "changed", "reason"),
    [
        ({}, {"addresses": ["192.0.2.9"]}, None),
        ({}, NODE_PORTS, "the gateway loses its load balancer"),
        ({}, {"loadBalancer": False, "addresses": ["192.0.2.9"]}, "the gateway loses its load balancer"),
        (NODE_PORTS, {}, None),
        (NODE_PORTS, {**NODE_PORTS, "addresses": ["192.0.2.10"]}, None),
        (
            NODE_PORTS,
            {**NODE_PORTS, "nodePort": {"port": 30144, "probePort": 30191}},
            "the gateway's node port 30143 is removed",
        ),
        (NODE_PORTS, {"loadBalancer": False, "addresses": ["192.0.2.9"]}, "the gateway's node port 30143 is removed"),
    ],
)
def test_gateway_without_its_former_address_is_lost(
    run: RunProgram, environment: Environment, former: Any, changed: Any, reason: str | None
) -> None:
    changes = find_changes(run, environment, with_gateway(former), with_gateway(changed))

    lost = LostGateway(source="west", target="east", reason=str(reason))
    assert changes.lost_gateways == ([lost] if reason is not None else [])


def test_removed_gateway_is_lost(run: RunProgram, environment: Environment) -> None:
    changed = {
        **BASE,
        "clusters": {"west": {}, "east": {"gateway": False}},
        "links": [{"source": "east", "target": "west"}],
    }

    changes = find_changes(run, environment, EXPORTING, changed)

    assert changes.lost_gateways == [LostGateway(source="west", target="east", reason="the gateway is removed")]


def test_unreachable_gateway_is_not_lost(run: RunProgram, environment: Environment) -> None:
    gateway = {"reachable": False, "gateway": NODE_PORTS}
    changed = {**EXPORTING, "clusters": {"west": {}, "east": gateway}}

    assert find_changes(run, environment, EXPORTING, changed).lost_gateways == []


def test_changed_port_of_gateway_is_lost(run: RunProgram, environment: Environment) -> None:
    values = {"linkerd-multicluster": {"gateway": {"port": 4200}}}
    changed = {**EXPORTING, "clusters": {"west": {}, "east": {"linkerd": {"values": values}}}}

    [lost] = find_changes(run, environment, EXPORTING, changed).lost_gateways

    assert lost.reason == "the gateway's port changes from 4143 to 4200"


def test_unlinked_cluster_has_no_lost_gateway(run: RunProgram, environment: Environment) -> None:
    former = {**BASE, "links": [{"source": "east", "target": "west"}]}
    changed = {**former, "clusters": {"west": {}, "east": {"gateway": False}}}

    assert find_changes(run, environment, former, changed) == TrafficChanges(lost_gateways=[], switches=[])


def build_switch(mode: str) -> ExportSwitch:
    return ExportSwitch(target="east", namespace="test", service="podinfo", mode=mode)


BOTH_MODES = {**EXPORTING, "clusters": FLAT_CLUSTERS, "links": GATEWAY_LINKS}
REMOTE = {**BOTH_MODES, "workloads": [{"podinfo": {"exported": ["east"], "exportMode": "remote-discovery"}}]}
OTHER_NETWORKS = {"west": {"networks": {"flat": "lan"}}, "east": {"networks": {"flat": "wan"}}}
FEDERATED = {
    **mesh_config("west", "east", links=[]),
    "linkerd": {"version": "2.20"},
    "links": FLAT_LINKS,
    "workloads": [{"podinfo": {"clusters": ["east"], "federated": ["east"]}}],
}
FLAT_EXPORT = {**FEDERATED, "workloads": [{"podinfo": {"clusters": ["east"], "exported": ["east"]}}]}


@pytest.mark.parametrize(
    ("former", "changed", "modes"),
    [
        (EXPORTING, EXPORTING, []),
        (BOTH_MODES, REMOTE, ["remote-discovery"]),
        (EXPORTING, {**EXPORTING, "links": FLAT_LINKS}, ["remote-discovery"]),
        (REMOTE, BOTH_MODES, []),
        ({**EXPORTING, "links": FLAT_LINKS}, EXPORTING, []),
        ({**EXPORTING, "links": FLAT_LINKS}, {**EXPORTING, "clusters": OTHER_NETWORKS}, ["gateway"]),
        (FLAT_EXPORT, FEDERATED, ["federated"]),
        (FEDERATED, FLAT_EXPORT, []),
        (EXPORTING, BASE, []),
        (EXPORTING, {**EXPORTING, "links": []}, []),
    ],
    ids=[
        *("same", "to-pods", "to-flat-link", "to-gateway", "to-gateway-link", "to-other-network"),
        *("to-federated", "from-federated", "removed", "without-links"),
    ],
)
def test_mode_that_ends_requests_is_refused(
    run: RunProgram, environment: Environment, former: dict[str, Any], changed: dict[str, Any], modes: list[str]
) -> None:
    switches = find_changes(run, environment, former, changed).switches

    assert switches == [build_switch(mode) for mode in modes]


def test_refused_mode_is_reported_with_both_steps() -> None:
    assert str(check_switch(build_switch("federated"))) == (
        "clusters.east: Service test/podinfo: its export cannot change to federated in one update, because requests to "
        "its mirrors would fail; first remove east from `splits`, `failover` and `exported` and run `pulumi up`, then "
        "add it again with the other mode"
    )


LOST = LostGateway(source="west", target="east", reason="the gateway is removed")
MIRRORS_PATH = (
    "/api/v1/services?labelSelector=mirror.linkerd.io/mirrored-service%3Dtrue,"
    "mirror.linkerd.io/cluster-name%3Deast,%21multicluster.linkerd.io/remote-discovery"
)


@pytest.mark.parametrize(
    ("names", "mirrors"),
    [
        ([], None),
        (["probe-gateway-east"], None),
        (["podinfo-east"], "test/podinfo-east"),
        (["a-east", "b-east", "c-east", "d-east"], "test/a-east, test/b-east, test/c-east and 1 more"),
    ],
)
def test_lost_gateway_with_mirrors_is_refused(names: list[str], mirrors: str | None) -> None:
    west = FakeApiServer(
        objects={MIRRORS_PATH: {"items": [{"metadata": {"name": name, "namespace": "test"}} for name in names]}}
    )
    with serve(west):
        findings = list(traffic_change.check_gateway(check_target("west"), LOST, build_kube_client(west.server)))

    assert [each.rule for each in findings] == (
        [f"requests of west to {mirrors} would fail until the mirrors have another address"] if mirrors else []
    )
    assert all("first remove east from `splits`" in each.remedy for each in findings)
