"""Node addresses from the API server, and previews of clusters that do not answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.cilium import clustermesh
from mesh.kube import client as kube_client
from tests.helpers import kubeconfigs, mock_engine
from tests.helpers.cluster_settings import build_cluster
from tests.helpers.fake_api_server import NODES, FakeApiServer, build_client, serve

PATH = "clusters.east.cilium.addresses: not set: "
REMEDY = "; set the addresses at which other clusters reach it, or grant the right to list nodes"


def node(name: str, *addresses: tuple[str, str], **metadata: Any) -> dict[str, Any]:
    node_addresses = [{"type": kind, "address": address} for kind, address in addresses]
    return {"metadata": {"name": name, **metadata}, "status": {"addresses": node_addresses} if node_addresses else {}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApiServer]:
    with serve(FakeApiServer()) as started:
        monkeypatch.setattr(kube_client, "build_api_client", lambda _: build_client(started.server))
        yield started


def read_node_addresses() -> list[str]:
    return clustermesh.read_node_addresses(build_cluster("east"))


def test_first_three_live_nodes_provide_internal_addresses(server: FakeApiServer) -> None:
    server.objects[NODES] = {
        "items": [
            node("n4", ("InternalIP", "192.0.2.4")),
            node("n3", ("Hostname", "n3"), ("ExternalIP", "203.0.113.3"), ("InternalIP", "192.0.2.3")),
            node("n1", ("InternalIP", "192.0.2.1"), deletionTimestamp="2030-01-01T00:00:00Z"),
            node("n2", ("InternalIP", "192.0.2.2"), ("InternalIP", "2001:db8::2")),
            node("n0"),
            node("n00", ("ExternalIP", "203.0.113.9")),
            node("n5", ("InternalIP", "192.0.2.5")),
        ]
    }

    assert read_node_addresses() == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
    assert server.requests == [f"GET {NODES}"]


@pytest.mark.parametrize(
    "nodes",
    [[], [node("new")], [node("far", ("ExternalIP", "203.0.113.9"))]],
    ids=["no-node", "no-address", "external-address-only"],
)
def test_nodes_without_address_are_reported(server: FakeApiServer, nodes: list[dict[str, Any]]) -> None:
    server.objects[NODES] = {"items": nodes}

    with pytest.raises(pulumi.RunError) as caught:
        read_node_addresses()

    assert str(caught.value) == f"{PATH}no node has an internal address{REMEDY}"


@pytest.mark.parametrize(("status", "reason"), [(403, "403 Forbidden"), (401, "401 Unauthorized"), (500, "500 ")])
def test_unlistable_nodes_are_reported_in_one_line(server: FakeApiServer, status: int, reason: str) -> None:
    server.statuses[NODES] = status

    with pytest.raises(pulumi.RunError) as caught:
        read_node_addresses()

    assert str(caught.value).startswith(f"{PATH}the nodes cannot be listed ({reason}")
    assert str(caught.value).endswith(f"){REMEDY}")
    assert str(caught.value).isprintable()


def test_unreachable_cluster_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(FakeApiServer()) as stopped:
        pass
    stopped_client = build_client(stopped.server, retries=False)
    monkeypatch.setattr(kube_client, "build_api_client", lambda _: stopped_client)

    with pytest.raises(pulumi.RunError) as caught:
        read_node_addresses()

    assert str(caught.value).startswith(f"{PATH}the nodes cannot be listed (")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("preflight", [True, False])
def test_preview_of_unreachable_clusters_ends_with_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, preflight: bool
) -> None:
    with serve(FakeApiServer()) as stopped:
        pass
    texts = {name: kubeconfigs.build_kubeconfig({name: {"server": stopped.server}}) for name in ("west", "east")}
    config = {
        "clusters": {name: {"cilium": {"id": number}} for number, name in enumerate(texts, 1)},
        "kubeconfigs": texts,
        "cilium": {"hubble": False},
        "preflight": {"enabled": preflight, "timeout": 1},
    }
    monkeypatch.setattr(mock_engine, "fake_node_addresses", clustermesh.read_node_addresses)
    monkeypatch.setattr("urllib3.util.retry.Retry.DEFAULT", False)

    with pytest.raises(pulumi.RunError) as caught:
        mock_engine.record_run(config, ["kubeconfigs"], tmp_path / "kubeconfig", monkeypatch)

    first, *others = str(caught.value).splitlines()
    if preflight:
        assert first == "2 findings in the clusters, before anything was changed:"
        assert [line.partition(": ")[0] for line in others] == ["clusters.west", "clusters.east"]
    else:
        assert first.startswith("clusters.west.cilium.addresses: not set: the nodes cannot be listed (")
        assert others == []
