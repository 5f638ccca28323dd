"""Node ports of the ClusterMesh API servers, with and without Cilium's kube-proxy replacement."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.config.validation.cilium import unique_node_port
from tests.helpers.mock_engine import RunProgram
from tests.unit.test_clustermesh import build_stack_config, cilium_values, peers_by_cluster

pytestmark = pytest.mark.thorough  # resolves hundreds of stack files

MAX_ID = 511
# Values with which Cilium before 1.19 handles node ports itself.
REPLACEMENTS: list[dict[str, Any]] = [
    {"kubeProxyReplacement": True},
    {"kubeProxyReplacement": "true"},
    {"kubeProxyReplacement": "strict"},
    {"kubeProxyReplacement": False, "nodePort": {"enabled": True}},
    {"nodePort": {"enabled": True}},
]


def deployed_ports(run: RunProgram, config: dict[str, Any]) -> dict[str, int]:
    """Return the node port of each cluster's Service; every peer must use the same one."""
    recorder = run(config)
    ports = {
        name: values["clustermesh"]["apiserver"]["service"]["nodePort"]
        for name, values in cilium_values(recorder).items()
    }
    for source, peers in peers_by_cluster(recorder).items():
        assert {peer["name"]: peer["port"] for peer in peers} == {
            name: port for name, port in ports.items() if name != source
        }
    assert {name: each["port"] for name, each in recorder.outputs["clustermesh"].items()} == ports
    return ports


def build_config(values: dict[str, Any], version: str = "1.18.7", **clusters: Any) -> dict[str, Any]:
    return build_stack_config({"hubble": False, "version": version, "values": values}, **clusters)


@pytest.mark.parametrize("version", ["1.14.1", "1.18.7"])
@pytest.mark.parametrize("values", REPLACEMENTS)
def test_clusters_without_kube_proxy_get_unique_ports(run: RunProgram, version: str, values: dict[str, Any]) -> None:
    assert deployed_ports(run, build_config(values, version, west=1, east=2, north=255)) == {
        "west": 32380,
        "east": 32381,
        "north": 32634,
    }


@pytest.mark.parametrize(
    ("version", "values"),
    [
        ("1.19.0", {"kubeProxyReplacement": True}),
        ("1.18.7", {}),
        ("1.18.7", {"kubeProxyReplacement": "false"}),
        ("1.14.1", {"kubeProxyReplacement": "partial", "nodePort": {"enabled": False}}),
    ],
)
def test_other_clusters_share_one_port(run: RunProgram, version: str, values: dict[str, Any]) -> None:
    assert deployed_ports(run, build_config(values, version, west=1, east=2)) == {"west": 32379, "east": 32379}


def test_only_clusters_without_kube_proxy_differ(run: RunProgram) -> None:
    replacing = {"cilium": {"id": 3, "values": {"kubeProxyReplacement": True}}}

    assert deployed_ports(run, build_config({}, west=1, east=2, north=replacing)) == {
        "west": 32379,
        "east": 32379,
        "north": 32382,
    }


def test_single_cluster_keeps_shared_port(run: RunProgram) -> None:
    assert deployed_ports(run, build_config({"kubeProxyReplacement": True}, west=1)) == {"west": 32379}


def test_port_of_cluster_survives_other_clusters(run: RunProgram) -> None:
    values = {"kubeProxyReplacement": True}
    before = deployed_ports(run, build_config(values, west=1, east=2))

    after = deployed_ports(run, build_config(values, north=9, west=1, east=2))

    assert {name: after[name] for name in before} == before


def test_port_in_stack_file_takes_precedence(run: RunProgram) -> None:
    config = build_config(
        {"kubeProxyReplacement": True}, west={"cilium": {"id": 1, "nodePort": 31001}}, east={"cilium": {"id": 2}}
    )

    assert deployed_ports(run, config) == {"west": 31001, "east": 32381}


@pytest.mark.parametrize("base", [30000, 31000, 32379, 32700, 32767, 20000, 40000, 65535])
def test_default_ports_are_unique_and_in_range(base: int) -> None:
    ports = [unique_node_port(base, cluster_id) for cluster_id in range(1, MAX_ID + 1)]

    assert len({base, *ports}) == MAX_ID + 1
    assert all(0 < port <= 65535 for port in ports)
    if 30000 <= base <= 32767:
        assert all(30000 <= port <= 32767 for port in ports)
